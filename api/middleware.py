"""Middleware for every request: request id, security headers, body limit, access log and unexpected errors."""

import re
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from http import HTTPMethod, HTTPStatus
from uuid import uuid4

import structlog
from fastapi import Request
from opentelemetry import trace
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import AMBIGUOUS_BODY_LENGTH, BODY_TOO_LARGE, render_internal_error, render_problem
from api.refusals import RefusalLog
from stafett.domain.job import REQUEST_ID
from stafett.monitoring.metrics import Metrics

_API_PREFIX, _PROBED_PATH = "/api/", "/healthz"
_EVENT_STREAM = b"text/event-stream"
_ABORTED, _OTHER_METHOD, _UNMATCHED_ROUTE = "aborted", "OTHER", "unmatched"
MAX_BODY_BYTES = 8 * 1024 * 1024
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_log = structlog.get_logger("stafett.api")
_Header = tuple[bytes, bytes]
_REQUEST_ID_HEADER = b"x-request-id"
_SECURITY_HEADERS = (  # encoded once, because every response has them
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_API_HEADERS = (
    *_SECURITY_HEADERS,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"private, no-cache"),
)


class RequestContextMiddleware:
    """Plain ASGI middleware, so that bodies are streamed and not buffered."""

    def __init__(self, app: ASGIApp, metrics: Metrics | None = None) -> None:
        self._app = app
        self._metrics = metrics or Metrics()
        self._refusals = RefusalLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, event_streams = time.perf_counter(), 0, ExitStack()
        request_id = scope["request_id"] = _get_request_id(Headers(scope=scope))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        trace.get_current_span().set_attribute(REQUEST_ID, request_id)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                self._metrics.record_request(*_describe_request(scope), str(status), time.perf_counter() - started)
                headers = message["headers"] = _complete_headers(message["headers"], request_id, scope["path"])
                if any(name == b"content-type" and value.startswith(_EVENT_STREAM) for name, value in headers):
                    event_streams.enter_context(self._metrics.event_streams.track_inprogress())
            await send(message)

        try:
            with event_streams, suppress(ClientDisconnect):
                await self._handle_limited(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - the server would log its message, which may quote data
            response = render_internal_error(Request(scope), error)
            if not status:
                await response(scope, receive, send_with_headers)
        finally:
            self._log_request(scope, status, started)

    def _log_request(self, scope: Scope, status: int, started: float) -> None:
        if scope.get("is_logged"):
            return
        if not status:  # the client disconnected
            self._metrics.record_request(*_describe_request(scope), _ABORTED, time.perf_counter() - started)
            self._refusals.record("requests_aborted")
        elif status == HTTPStatus.TOO_MANY_REQUESTS:
            self._refusals.record("requests_refused")
        elif status != HTTPStatus.OK or scope["path"] != _PROBED_PATH:
            duration_ms = round((time.perf_counter() - started) * 1000, 1)
            _log.info("request", method=scope["method"], path=scope["path"], status=status, duration_ms=duration_ms)

    async def _handle_limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may see another end of the body
            response = render_problem(Request(scope), AMBIGUOUS_BODY_LENGTH)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
        elif _get_content_length(headers) > MAX_BODY_BYTES:
            await render_problem(Request(scope), BODY_TOO_LARGE)(scope, receive, send)
        else:
            await self._app(scope, _limit_body(receive), send)


def _complete_headers(headers: Iterable[_Header], request_id: str, path: str) -> list[_Header]:
    """Add the request id, and the default headers that the response does not have."""
    own = [header for header in headers if header[0] != _REQUEST_ID_HEADER]  # the second process has set its own
    names = {name for name, _ in own}
    defaults = _API_HEADERS if path.startswith(_API_PREFIX) else _SECURITY_HEADERS
    return [*own, (_REQUEST_ID_HEADER, request_id.encode()), *(each for each in defaults if each[0] not in names)]


def _describe_request(scope: Scope) -> tuple[str, str]:
    """Return the method and the route's template: a client chooses the path, but not these."""
    method = scope["method"] if scope["method"] in HTTPMethod.__members__ else _OTHER_METHOD
    return method, _find_route_template(scope)


def _find_route_template(scope: Scope) -> str:
    """Return the template with the prefix of its router, which FastAPI leaves out: what precedes it in the path."""
    route = scope.get("route")
    template: str | None = getattr(route, "path_format", None)
    if template is None:
        return _UNMATCHED_ROUTE
    if ":path}" in getattr(route, "path", ""):  # a parameter with slashes: the length of the prefix is unknown
        return template
    segments = scope["path"].split("/")
    return "/".join(segments[: len(segments) - template.count("/")]) + template


def _get_request_id(headers: Headers) -> str:
    """Return the client's ``X-Request-ID``, the trace id of a W3C ``traceparent``, or a new id."""
    request_id = headers.get("x-request-id", "")
    if _VALID_REQUEST_ID.fullmatch(request_id):
        return request_id
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return match[1] if match else uuid4().hex


def _get_content_length(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _limit_body(receive: Receive) -> Receive:
    """Enforce the limit on bodies without ``Content-Length`` by counting bytes as they arrive."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    return receive_limited
