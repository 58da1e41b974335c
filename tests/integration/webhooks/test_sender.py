"""A POST to a real server over real TLS, to the address that was checked and to no other."""

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
from tests.support.webhook_receiver import SelfSignedCertificate, WebhookReceiver, run_receiver

HOST = "hooks.example"


class FakeResolver:
    """Returns each of the answers in turn, then always the last one."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.lookups = 0

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        assert host == HOST
        self.lookups += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def certificate(tmp_path: Path) -> SelfSignedCertificate:
    return SelfSignedCertificate.for_host(HOST, tmp_path)


@pytest.fixture
def receiver(certificate: SelfSignedCertificate) -> Iterator[WebhookReceiver]:
    with run_receiver(WebhookReceiver(), certificate.server_context) as receiver:
        yield receiver


def message_to(port: int, scheme: str = "https") -> WebhookMessage:
    url = f"{scheme}://{HOST}:{port}/hook?of=stafett"
    return WebhookMessage(id="m-1", url=url, secrets=(generate_secret(),), body='{"ø":1}'.encode())


def create_sender(tls: ssl.SSLContext, resolver: FakeResolver | None = None, *, timeout: float = 10) -> WebhookSender:
    return WebhookSender(
        DestinationPolicy(allow_private_networks=True, resolver=resolver or FakeResolver(["127.0.0.1"])),
        tls,
        timeout=timeout,
    )


async def get_delivery_error(sender: WebhookSender, message: WebhookMessage) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await sender.send(message)
    return caught.value


async def test_message_is_signed_and_sent_to_the_checked_address(
    certificate: SelfSignedCertificate, receiver: WebhookReceiver
) -> None:
    message, resolver = message_to(receiver.port), FakeResolver(["127.0.0.1"])
    await create_sender(certificate.client_context, resolver).send(message)

    (request,) = receiver.requests
    assert (request.path, request.body) == ("/hook?of=stafett", message.body)
    assert request.headers["host"] == f"{HOST}:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "m-1"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    signed = b".".join([b"m-1", request.headers["webhook-timestamp"].encode(), request.body])
    key = base64.b64decode(message.secrets[0].removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert resolver.lookups == 1


async def test_address_that_turns_private_after_the_check_is_rejected(
    certificate: SelfSignedCertificate, receiver: WebhookReceiver
) -> None:
    resolver = FakeResolver(["93.184.216.34"], ["127.0.0.1"])
    destinations, message = DestinationPolicy(resolver=resolver), message_to(receiver.port)
    await destinations.check(message.url)
    error = await get_delivery_error(WebhookSender(destinations, certificate.client_context), message)
    assert error.code == "address_not_public"
    assert receiver.requests == []
    assert resolver.lookups == 2


async def test_certificate_of_another_host_is_rejected(tmp_path: Path) -> None:
    other_certificate = SelfSignedCertificate.for_host("other.example", tmp_path)
    with run_receiver(WebhookReceiver(), other_certificate.server_context) as receiver:
        error = await get_delivery_error(create_sender(other_certificate.client_context), message_to(receiver.port))
        assert error.code == "tls_failed"
    assert receiver.requests == []


async def test_untrusted_certificate_is_rejected(receiver: WebhookReceiver) -> None:
    error = await get_delivery_error(create_sender(ssl.create_default_context()), message_to(receiver.port))
    assert error.code == "tls_failed"


async def test_server_without_tls_receives_no_plain_http(certificate: SelfSignedCertificate) -> None:
    with run_receiver(WebhookReceiver()) as receiver:
        error = await get_delivery_error(create_sender(certificate.client_context), message_to(receiver.port))
        assert error.code == "tls_failed"
    assert receiver.requests == []


async def test_http_url_is_rejected_outside_development(
    certificate: SelfSignedCertificate, receiver: WebhookReceiver
) -> None:
    strict = WebhookSender(DestinationPolicy(resolver=FakeResolver(["127.0.0.1"])), certificate.client_context)
    assert (await get_delivery_error(strict, message_to(receiver.port, "http"))).code == "url_not_https"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_every_2xx_response_is_a_success(
    certificate: SelfSignedCertificate, receiver: WebhookReceiver, status: int
) -> None:
    receiver.statuses = [status]
    await create_sender(certificate.client_context).send(message_to(receiver.port))


@pytest.mark.parametrize(
    ("status", "is_permanent"), [(400, False), (404, False), (410, True), (500, False), (503, False)]
)
async def test_every_other_response_is_an_error_and_only_410_is_permanent(
    certificate: SelfSignedCertificate, receiver: WebhookReceiver, status: int, *, is_permanent: bool
) -> None:
    receiver.statuses = [status]
    error = await get_delivery_error(create_sender(certificate.client_context), message_to(receiver.port))
    assert (error.code, error.is_permanent) == (f"http_{status}", is_permanent)


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (429, "120", timedelta(minutes=2)),
        (503, "9999999", timedelta(hours=12)),
        (503, "99999999999999999999", None),
        (503, "soon", None),
        (500, "120", None),
    ],
)
async def test_retry_after_of_429_and_503_responses_is_respected_up_to_a_maximum(
    certificate: SelfSignedCertificate,
    receiver: WebhookReceiver,
    status: int,
    retry_after: str,
    expected: timedelta | None,
) -> None:
    receiver.statuses, receiver.response_headers = [status], {"Retry-After": retry_after}
    error = await get_delivery_error(create_sender(certificate.client_context), message_to(receiver.port))
    assert error.retry_after == expected


async def test_redirect_is_not_followed(certificate: SelfSignedCertificate, receiver: WebhookReceiver) -> None:
    with run_receiver(WebhookReceiver()) as target:
        receiver.statuses, receiver.response_headers = [307], {"Location": target.url}
        error = await get_delivery_error(create_sender(certificate.client_context), message_to(receiver.port))
        assert error.code == "http_307"
    assert target.requests == []


async def test_proxies_of_the_environment_are_not_used(
    certificate: SelfSignedCertificate, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_receiver(WebhookReceiver()) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await create_sender(certificate.client_context).send(message_to(receiver.port))
    assert len(receiver.requests) == 1
    assert proxy.requests == []


async def test_next_address_is_tried_when_the_first_refuses_the_connection(
    certificate: SelfSignedCertificate, receiver: WebhookReceiver
) -> None:
    resolver = FakeResolver(["127.0.0.9", "127.0.0.1"])
    await create_sender(certificate.client_context, resolver).send(message_to(receiver.port))
    assert len(receiver.requests) == 1


async def test_refused_connection_is_reported_as_unreachable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        error = await get_delivery_error(create_sender(ssl.create_default_context()), message_to(port))
        assert error.code == "unreachable"


async def test_server_that_does_not_speak_http_is_reported_as_not_http() -> None:
    async def answer_as_smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(answer_as_smtp, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await get_delivery_error(create_sender(ssl.create_default_context()), message_to(port, "http"))
    assert error.code == "not_http"


async def test_slow_headers_time_out_and_an_endless_body_is_not_read() -> None:
    """No timeout for a single read would end it: each byte comes well before such a timeout."""
    answer = b"HTTP/1.1 200 OK\r\nX-Long: "

    async def send_byte_by_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        while not writer.is_closing():
            writer.write(b"x")
            try:
                await writer.drain()
            except OSError:
                return
            await asyncio.sleep(0.01)

    async with await asyncio.start_server(send_byte_by_byte, "127.0.0.1", 0) as server:
        message = message_to(server.sockets[0].getsockname()[1], "http")
        sender = create_sender(ssl.create_default_context(), timeout=0.5)
        assert (await get_delivery_error(sender, message)).code == "timed_out"
        answer = b"HTTP/1.1 200 OK\r\n\r\n"
        await sender.send(message)
