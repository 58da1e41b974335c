"""Posts messages to webhooks: to checked addresses, within a bounded time."""

import asyncio
import ssl
import time
from collections.abc import Iterable
from datetime import timedelta

import httpcore
import httpx
from pydantic import Field

from stafett.domain.errors import DeliveryError, ForbiddenDestinationError
from stafett.domain.frozen import FrozenModel
from stafett.version import VERSION
from stafett.webhooks.destinations import Destination, DestinationPolicy
from stafett.webhooks.signing import build_signature_header

_CONNECT_TIMEOUT, _DELIVERY_TIMEOUT = 5.0, 20.0
_MAX_RETRY_AFTER = timedelta(hours=12)
_GONE, _RETRY_AFTER_STATUSES = 410, {429, 502, 503, 504}


class WebhookMessage(FrozenModel):
    """A message to a webhook; its id and body are the same at every attempt."""

    id: str
    url: str = Field(repr=False)
    secrets: tuple[str, ...] = Field(repr=False)
    body: bytes = Field(repr=False)


class WebhookSender:
    """Posts messages without following redirects, using the environment's proxies or reading response bodies."""

    def __init__(
        self, policy: DestinationPolicy, tls: ssl.SSLContext | None = None, *, timeout: float = _DELIVERY_TIMEOUT
    ) -> None:
        self._policy = policy
        self._network_backend = _CheckedNetworkBackend(policy)
        self._tls = tls or httpx.create_ssl_context()
        self._timeout = timeout

    async def send(self, message: WebhookMessage) -> None:
        """Send the message; raise a `DeliveryError` with a code if the receiver does not accept it."""
        try:
            destination = self._policy.parse(message.url)
            async with asyncio.timeout(self._timeout):
                await self._send(destination, message)
        except ForbiddenDestinationError as error:
            raise DeliveryError(error.code) from None
        except (TimeoutError, httpcore.TimeoutException):
            raise DeliveryError("timed_out") from None
        except httpcore.NetworkError as error:
            raise DeliveryError("tls_failed" if _is_tls_error(error) else "unreachable") from None
        except httpcore.ProtocolError:
            raise DeliveryError("not_http") from None

    async def _send(self, destination: Destination, message: WebhookMessage) -> None:
        url = httpcore.URL(
            scheme=destination.scheme, host=destination.host, port=destination.port, target=destination.target
        )
        headers, extensions = _build_headers(destination, message), {"timeout": {"connect": _CONNECT_TIMEOUT}}
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network_backend) as pool,
            pool.stream("POST", url, headers=headers, content=message.body, extensions=extensions) as response,
        ):
            _raise_for_status(response)


class _CheckedNetworkBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host once and connects to the checked address; TLS still verifies the host name."""

    def __init__(self, policy: DestinationPolicy) -> None:
        self._policy = policy
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError()
        for address in await self._policy.resolve_allowed(host, port):
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _is_tls_error(error: BaseException | None) -> bool:
    """Search the chain of causes, because the HTTP libraries wrap a TLS error once or twice."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _build_headers(destination: Destination, message: WebhookMessage) -> list[tuple[str, str]]:
    now = int(time.time())
    return [
        ("Host", destination.host_header),
        ("Content-Type", "application/json"),
        ("User-Agent", f"Stafett/{VERSION}"),
        ("webhook-id", message.id),
        ("webhook-timestamp", str(now)),
        ("webhook-signature", build_signature_header(message.secrets, message.id, now, message.body)),
    ]


def _raise_for_status(response: httpcore.Response) -> None:
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's range of success
        return
    retry_after = _parse_retry_after(response) if status in _RETRY_AFTER_STATUSES else None
    raise DeliveryError(f"http_{status}", is_permanent=status == _GONE, retry_after=retry_after)


def _parse_retry_after(response: httpcore.Response) -> timedelta | None:
    """Return the seconds of ``Retry-After``, capped; for a date the usual retry intervals apply."""
    for name, value in response.headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 8:  # noqa: PLR2004 - a hundred days
            return min(timedelta(seconds=int(value)), _MAX_RETRY_AFTER)
    return None
