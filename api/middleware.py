"""Middleware for every request: request id, security headers, body limit, access log and unexpected errors."""

import re
import time
from contextlib import ExitStack, suppress
from http import HTTPMethod, HTTPStatus
from uuid import uuid4

import structlog
from fastapi import Request
from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import (
    AMBIGUOUS_BODY_LENGTH,
    BODY_TOO_LARGE,
    MAX_BODY_BYTES,
    UNSUPPORTED_CONTENT_ENCODING,
    render_internal_error,
    render_problem,
)
from api.refusals import RefusalLog
from stafett.domain.job import REQUEST_ID
from stafett.monitoring.metrics import Metrics

_API_PREFIX, _PROBED_PATH = "/api/", "/healthz"
_EVENT_STREAM, _NO_ENCODING = "text/event-stream", "identity"
_ABORTED, _OTHER_METHOD, _UNMATCHED_ROUTE = "aborted", "OTHER", "unmatched"
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_log = structlog.get_logger("stafett.api")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_API_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",
}


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
                headers = MutableHeaders(scope=message)
                self._metrics.record_request(*_describe_request(scope), str(status), time.perf_counter() - started)
                if headers.get("content-type", "").startswith(_EVENT_STREAM):
                    event_streams.enter_context(self._metrics.event_streams.track_inprogress())
                headers["X-Request-ID"] = request_id
                for name, value in (
                    _SECURITY_HEADERS | _API_HEADERS if _is_of_api(scope) else _SECURITY_HEADERS
                ).items():
                    headers.setdefault(name, value)
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
            return
        content_length, is_form = _get_content_length(headers), scope["method"] == "POST" and not _is_of_api(scope)
        if content_length > MAX_BODY_BYTES and not is_form:
            await render_problem(Request(scope), BODY_TOO_LARGE)(scope, receive, send)
        elif headers.get("content-encoding", _NO_ENCODING).strip().lower() != _NO_ENCODING:
            await render_problem(Request(scope), UNSUPPORTED_CONTENT_ENCODING)(scope, receive, send)
        else:
            await self._app(scope, _limit_body(receive, content_length), send)


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


def _is_of_api(scope: Scope) -> bool:
    return str(scope["path"]).startswith(_API_PREFIX)


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


def _limit_body(receive: Receive, content_length: int) -> Receive:
    """Enforce the limit on bodies at once if their length is known, or by counting bytes as they arrive.

    The error is raised while the application reads the body, so that the console renders a page for a large form.
    """
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        if content_length > MAX_BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    return receive_limited
