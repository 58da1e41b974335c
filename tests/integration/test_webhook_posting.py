"""A POST to a real server, over real TLS: to the address that was checked and to no other."""

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from stafett.domain.errors import DeliveryError
from stafett.webhooks.destinations import DestinationPolicy
from stafett.webhooks.sender import WebhookMessage, WebhookSender
from stafett.webhooks.signing import generate_secret
from tests.receiver import Certificate, Receiver, receiving

HOST = "hooks.example"


class Names:
    """A resolver that changes its mind: one answer a question, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        assert host == HOST
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate.of(HOST, tmp_path)


@pytest.fixture
def receiver(certificate: Certificate) -> Iterator[Receiver]:
    with receiving(Receiver(), certificate.server) as receiver:
        yield receiver


def message_to(port: int, scheme: str = "https") -> WebhookMessage:
    url = f"{scheme}://{HOST}:{port}/hook?of=stafett"
    return WebhookMessage(id="m-1", url=url, secrets=(generate_secret(),), body='{"ø":1}'.encode())


def poster(tls: ssl.SSLContext, names: Names | None = None, *, within: float = 10) -> WebhookSender:
    return WebhookSender(
        DestinationPolicy(allow_private_networks=True, resolver=names or Names(["127.0.0.1"])), tls, timeout=within
    )


async def refusal(posting: WebhookSender, message: WebhookMessage) -> DeliveryError:
    with pytest.raises(DeliveryError) as refused:
        await posting.send(message)
    return refused.value


async def test_a_message_arrives_signed_at_the_checked_address_under_the_hosts_own_name(
    certificate: Certificate, receiver: Receiver
) -> None:
    message, names = message_to(receiver.port), Names(["127.0.0.1"])
    await poster(certificate.believer, names).send(message)

    (taken,) = receiver.taken
    assert (taken.path, taken.body) == ("/hook?of=stafett", message.body)
    assert taken.headers["host"] == f"{HOST}:{receiver.port}"
    assert taken.headers["content-type"] == "application/json"
    assert taken.headers["webhook-id"] == "m-1"
    assert abs(int(taken.headers["webhook-timestamp"]) - time.time()) < 60
    signed = b".".join([b"m-1", taken.headers["webhook-timestamp"].encode(), taken.body])
    key = base64.b64decode(message.secrets[0].removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert taken.headers["webhook-signature"] == f"v1,{expected}"
    assert names.asked == 1


async def test_a_resolver_that_changes_its_mind_between_check_and_connection_gains_nothing(
    certificate: Certificate, receiver: Receiver
) -> None:
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    destinations, message = DestinationPolicy(resolver=names), message_to(receiver.port)
    await destinations.check(message.url)
    assert (await refusal(WebhookSender(destinations, certificate.believer), message)).code == "address_not_public"
    assert receiver.taken == []
    assert names.asked == 2


async def test_a_certificate_of_another_host_is_not_believed(tmp_path: Path) -> None:
    other = Certificate.of("other.example", tmp_path)
    with receiving(Receiver(), other.server) as receiver:
        assert (await refusal(poster(other.believer), message_to(receiver.port))).code == "tls_failed"
    assert receiver.taken == []


async def test_a_certificate_that_nobody_vouches_for_is_not_believed(receiver: Receiver) -> None:
    assert (await refusal(poster(ssl.create_default_context()), message_to(receiver.port))).code == "tls_failed"


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(certificate: Certificate) -> None:
    with receiving(Receiver()) as receiver:
        assert (await refusal(poster(certificate.believer), message_to(receiver.port))).code == "tls_failed"
    assert receiver.taken == []


async def test_http_is_refused_outside_development(certificate: Certificate, receiver: Receiver) -> None:
    strict = WebhookSender(DestinationPolicy(resolver=Names(["127.0.0.1"])), certificate.believer)
    assert (await refusal(strict, message_to(receiver.port, "http"))).code == "url_not_https"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_every_two_hundred_is_a_success(certificate: Certificate, receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    await poster(certificate.believer).send(message_to(receiver.port))


@pytest.mark.parametrize(("status", "for_good"), [(400, False), (404, False), (410, True), (500, False), (503, False)])
async def test_every_other_answer_is_a_refusal_and_gone_is_one_for_good(
    certificate: Certificate, receiver: Receiver, status: int, *, for_good: bool
) -> None:
    receiver.answers = [status]
    refused = await refusal(poster(certificate.believer), message_to(receiver.port))
    assert (refused.code, refused.is_permanent) == (f"http_{status}", for_good)


@pytest.mark.parametrize(
    ("status", "said", "wait"),
    [
        (429, "120", timedelta(minutes=2)),
        (503, "9999999", timedelta(hours=12)),
        (503, "99999999999999999999", None),
        (503, "soon", None),
        (500, "120", None),
    ],
)
async def test_a_receiver_may_ask_for_some_time(
    certificate: Certificate, receiver: Receiver, status: int, said: str, wait: timedelta | None
) -> None:
    receiver.answers, receiver.headers = [status], {"Retry-After": said}
    assert (await refusal(poster(certificate.believer), message_to(receiver.port))).retry_after == wait


async def test_a_redirect_is_not_followed(certificate: Certificate, receiver: Receiver) -> None:
    with receiving(Receiver()) as elsewhere:
        receiver.answers, receiver.headers = [307], {"Location": elsewhere.url}
        assert (await refusal(poster(certificate.believer), message_to(receiver.port))).code == "http_307"
    assert elsewhere.taken == []


async def test_no_proxy_of_the_environment_learns_of_it(
    certificate: Certificate, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving(Receiver()) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await poster(certificate.believer).send(message_to(receiver.port))
    assert len(receiver.taken) == 1
    assert proxy.taken == []


async def test_the_next_address_is_tried_when_nobody_answers_at_the_first(
    certificate: Certificate, receiver: Receiver
) -> None:
    names = Names(["127.0.0.9", "127.0.0.1"])
    await poster(certificate.believer, names).send(message_to(receiver.port))
    assert len(receiver.taken) == 1


async def test_nobody_at_the_door_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert (await refusal(poster(ssl.create_default_context()), message_to(port))).code == "unreachable"


async def test_a_server_that_speaks_something_else_is_not_listened_to() -> None:
    async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(mumble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        refused = await refusal(poster(ssl.create_default_context()), message_to(port, "http"))
    assert refused.code == "not_http"


async def test_a_server_that_dribbles_is_left_in_time_and_one_that_never_ends_is_not_read() -> None:
    """Each byte comes well before any timeout of its own would end it."""
    answer = b"HTTP/1.1 200 OK\r\nX-Long: "

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        while not writer.is_closing():
            writer.write(b"x")
            try:
                await writer.drain()
            except OSError:
                return
            await asyncio.sleep(0.01)

    async with await asyncio.start_server(dribble, "127.0.0.1", 0) as server:
        message = message_to(server.sockets[0].getsockname()[1], "http")
        slow = poster(ssl.create_default_context(), within=0.5)
        assert (await refusal(slow, message)).code == "timed_out"
        answer = b"HTTP/1.1 200 OK\r\n\r\n"
        await slow.send(message)
