"""Where a webhook may lead: out into the internet, over TLS, and nowhere else."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_network
from typing import NamedTuple

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from stafett.domain.errors import ForbiddenDestinationError

HostResolver = Callable[[str, int], Awaitable[Sequence[str]]]
# https://www.iana.org/assignments/iana-ipv4-special-registry, multicast, and what is reserved.
_NON_PUBLIC_IPV4 = tuple(
    ip_network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
# Only global unicast is given out to networks: so mapped, translated, link-local and private ones are out already.
_GLOBAL_UNICAST = ip_network("2000::/3")
# Of it, what is set apart: IETF protocols with Teredo, documentation, 6to4, AS112, segment routing.
_NON_PUBLIC_IPV6 = tuple(
    ip_network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def is_public_address(address: str) -> bool:
    """Whether it is somebody's on the internet, and nobody's within a network, ours or another's."""
    given = ip_address(address)
    if isinstance(given, IPv4Address):
        return not any(given in block for block in _NON_PUBLIC_IPV4)
    return given in _GLOBAL_UNICAST and not any(given in block for block in _NON_PUBLIC_IPV6)


async def resolve_host(host: str, port: int, executor: Executor | None = None) -> Sequence[str]:
    """Every address of a host, those that are reached best first; none if it has none.

    A name server that is silent holds a thread long after whoever asked has gone: so give it threads of its own.
    """
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(executor, ask)
    except (OSError, UnicodeError):
        return ()
    return [str(place[4][0]) for place in found]


MAX_URL_LENGTH = 2000


_HTTPS_PORT, _MIN_UNPRIVILEGED_PORT = 443, 1024


_PRINTABLE_ASCII = re.compile(r"[!-~]+", re.ASCII)
_HOST_PATTERN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]", re.ASCII)


class Destination(NamedTuple):
    """A URL taken apart once: what was checked and what is connected to cannot be two things."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return name if self.port == usual else f"{name}:{self.port}"


@dataclass(frozen=True)
class DestinationPolicy:
    """The rules for URLs and for the addresses behind them; ``allow_private`` is for development alone."""

    allow_private_networks: bool = False
    resolver: HostResolver = resolve_host

    def parse(self, url: str) -> Destination:
        """The destination that a URL names, if it may be one."""
        try:
            parts = parse_url(url) if _PRINTABLE_ASCII.fullmatch(url) and "\\" not in url else None
        except LocationParseError:
            parts = None
        if parts is None or parts.host is None or not _HOST_PATTERN.fullmatch(parts.host) or parts.fragment is not None:
            raise ForbiddenDestinationError(
                "url_invalid", "not a URL with a host and without a fragment; hosts and paths are written in ASCII"
            )
        if parts.auth is not None:
            raise ForbiddenDestinationError("url_with_credentials", "a URL with a user or a password in it")
        scheme = parts.scheme or ""
        if scheme != "https" and not (self.allow_private_networks and scheme == "http"):
            raise ForbiddenDestinationError("url_not_https", "only https is accepted")
        port = parts.port or (_HTTPS_PORT if scheme == "https" else 80)
        if not self.allow_private_networks and port != _HTTPS_PORT and port < _MIN_UNPRIVILEGED_PORT:
            raise ForbiddenDestinationError("url_port", "the port is 443, or 1024 or higher")
        return Destination(scheme, parts.host.strip("[]"), port, parts.request_uri)

    async def resolve_allowed(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a host. One that is not public among them, and there is none."""
        found = await self.resolver(host, port)
        if not found:
            raise ForbiddenDestinationError("host_unknown", "the host has no address")
        if not self.allow_private_networks and not all(map(is_public_address, found)):
            raise ForbiddenDestinationError("address_not_public", "the host has an address that is not a public one")
        return found

    async def check(self, url: str) -> None:
        """Refuse a URL that could not be delivered to, as far as can be said now."""
        destination = self.parse(url)
        if not self.allow_private_networks:  # a developer's machine may know no names at all
            await self.resolve_allowed(destination.host, destination.port)
