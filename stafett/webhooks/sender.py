"""A POST to somebody else's server: to an address that was checked, and for a bounded time."""

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
from stafett.webhooks.destinations import Destination, Destinations
from stafett.webhooks.signing import signatures

_CONNECT_SECONDS, _SECONDS = 5.0, 20.0
_LONGEST_WAIT = timedelta(hours=12)
_GONE, _SLOWER = 410, {429, 502, 503, 504}


class WebhookMessage(FrozenModel):
    """What goes out; the id and the body are the same at every try."""

    id: str
    url: str = Field(repr=False)
    secrets: tuple[str, ...] = Field(repr=False)
    body: bytes = Field(repr=False)


class WebhookPoster:
    """Posts messages; no redirects are followed, no proxy of the environment is used, no answer's body is read."""

    def __init__(
        self, destinations: Destinations, tls: ssl.SSLContext | None = None, *, within: float = _SECONDS
    ) -> None:
        self._destinations = destinations
        self._network = _CheckedNetwork(destinations)
        self._tls = tls or httpx.create_ssl_context()
        self._within = within

    async def post(self, message: WebhookMessage) -> None:
        """Return if the receiver took it; otherwise say by a code why not."""
        try:
            destination = self._destinations.of(message.url)
            async with asyncio.timeout(self._within):
                await self._post(destination, message)
        except ForbiddenDestinationError as error:
            raise DeliveryError(error.code) from None
        except (TimeoutError, httpcore.TimeoutException):
            raise DeliveryError("timed_out") from None
        except httpcore.NetworkError as error:
            raise DeliveryError("tls_failed" if _is_of_tls(error) else "unreachable") from None
        except httpcore.ProtocolError:
            raise DeliveryError("not_http") from None

    async def _post(self, to: Destination, message: WebhookMessage) -> None:
        url = httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target)
        headers, patience = _headers(to, message), {"timeout": {"connect": _CONNECT_SECONDS}}
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network) as pool,
            pool.stream("POST", url, headers=headers, content=message.body, extensions=patience) as response,
        ):
            _judge(response)


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a host once, and connects to what was checked; TLS still asks for the host by its name."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError()
        for address in await self._destinations.addresses(host, port):
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _is_of_tls(error: BaseException | None) -> bool:
    """The libraries between wrap it once or twice."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _headers(to: Destination, message: WebhookMessage) -> list[tuple[str, str]]:
    now = int(time.time())
    return [
        ("Host", to.host_header),
        ("Content-Type", "application/json"),
        ("User-Agent", f"Stafett/{VERSION}"),
        ("webhook-id", message.id),
        ("webhook-timestamp", str(now)),
        ("webhook-signature", signatures(message.secrets, message.id, now, message.body)),
    ]


def _judge(response: httpcore.Response) -> None:
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own figures
        return
    wait = _asked_to_wait(response) if status in _SLOWER else None
    raise DeliveryError(f"http_{status}", is_permanent=status == _GONE, retry_after=wait)


def _asked_to_wait(response: httpcore.Response) -> timedelta | None:
    """What ``Retry-After`` says in seconds, within reason; its dates are left to the usual pauses."""
    for name, value in response.headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 8:  # noqa: PLR2004 - a hundred days
            return min(timedelta(seconds=int(value)), _LONGEST_WAIT)
    return None
