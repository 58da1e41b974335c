"""Middleware for every request: request id, security headers, body limit, access log and unexpected errors."""

import re
import time
from contextlib import suppress
from http import HTTPStatus
from uuid import uuid4

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import AMBIGUOUS_BODY_LENGTH, BODY_TOO_LARGE, render_internal_error, render_problem
from api.refusals import RefusalLog

_API_PREFIX, _PROBED_PATH = "/api/", "/healthz"
MAX_BODY_BYTES = 8 * 1024 * 1024
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

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._refusals = RefusalLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request_id = scope["request_id"] = _get_request_id(Headers(scope=scope))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in (
                    _SECURITY_HEADERS | _API_HEADERS if scope["path"].startswith(_API_PREFIX) else _SECURITY_HEADERS
                ).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            with suppress(ClientDisconnect):
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
