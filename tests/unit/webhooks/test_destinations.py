"""Allowed and forbidden destinations of webhooks."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from stafett.domain.errors import ForbiddenDestinationError
from stafett.webhooks.destinations import Destination, DestinationPolicy, is_public_address, resolve_host

PUBLIC = ["93.184.216.34", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:2800:220:1:248:1893:25c8:1946", "2a02:c0::1"]
NOT_PUBLIC = [
    *("0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1"),
    *("ff02::1", "5f00::1", "4000::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_internet_address_is_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_private_or_reserved_address_is_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("https://hooks.example", Destination("https", "hooks.example", 443, "/")),
        ("https://Hooks.Example:8443/a/b?c=d", Destination("https", "hooks.example", 8443, "/a/b?c=d")),
        ("HTTPS://HOOKS.EXAMPLE/A", Destination("https", "hooks.example", 443, "/A")),
        ("https://[2A02:C0::1]/x", Destination("https", "2a02:c0::1", 443, "/x")),
        ("https://xn--rsmat-wuae.example/", Destination("https", "xn--rsmat-wuae.example", 443, "/")),
    ],
)
def test_url_is_parsed_into_a_destination(url: str, destination: Destination) -> None:
    assert DestinationPolicy().parse(url) == destination


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "url_invalid"),
        ("hooks.example", "url_not_https"),
        ("https://", "url_invalid"),
        ("https:///path", "url_invalid"),
        ("https://hooks.example/#part", "url_invalid"),
        ("https://hooks.example/\r\nHost: inside", "url_invalid"),
        ("https://hooks.example\\@127.0.0.1/", "url_invalid"),
        ("https://rømmegrøt.example/", "url_invalid"),
        ("https://[fe80::1%25eth0]/", "url_invalid"),
        ("https://hooks.example:99999/", "url_invalid"),
        ("https://kari@hooks.example/", "url_with_credentials"),
        ("https://kari:hemmelig@hooks.example/", "url_with_credentials"),
        ("http://hooks.example/", "url_not_https"),
        ("ftp://hooks.example/", "url_not_https"),
        ("file:///etc/passwd", "url_invalid"),
        ("https://hooks.example:25/", "url_port"),
        ("https://hooks.example:22/", "url_port"),
    ],
)
def test_invalid_or_unsafe_url_is_rejected(url: str, code: str) -> None:
    with pytest.raises(ForbiddenDestinationError) as error:
        DestinationPolicy().parse(url)
    assert error.value.code == code


def test_private_networks_can_be_allowed_for_development() -> None:
    assert DestinationPolicy(allow_private_networks=True).parse("http://127.0.0.1:81/x") == Destination(
        "http", "127.0.0.1", 81, "/x"
    )


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0"],
)
async def test_every_notation_of_the_local_machine_is_rejected(host: str) -> None:
    with pytest.raises(ForbiddenDestinationError) as error:
        await DestinationPolicy().check(f"https://{host}/")
    assert error.value.code == "address_not_public"


async def test_host_with_one_private_address_is_rejected() -> None:
    async def both(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(ForbiddenDestinationError) as error:
        await DestinationPolicy(resolver=both).check("https://hooks.example/")
    assert error.value.code == "address_not_public"


@pytest.mark.parametrize("host", ["unknown.invalid", "a" * 64 + ".invalid"])
async def test_unknown_host_has_no_address_and_is_rejected(host: str) -> None:
    assert list(await resolve_host(host, 443)) == []
    with pytest.raises(ForbiddenDestinationError) as error:
        await DestinationPolicy().check(f"https://{host}/")
    assert error.value.code == "host_unknown"


async def test_silent_name_server_blocks_only_the_lookup_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    is_finished, lookups = Event(), []

    def never_answer(host: str, *_args: object, **_options: object) -> list[object]:
        lookups.append(host)
        is_finished.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never_answer)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    with ThreadPoolExecutor(1) as lookup_threads:
        lookup = asyncio.create_task(resolve_host("hooks.example", 443, lookup_threads))
        async with asyncio.timeout(120):
            while not lookups:
                await asyncio.to_thread(lambda: None)
            assert await asyncio.to_thread(lambda: "free") == "free"
        is_finished.set()
        assert await lookup == []
