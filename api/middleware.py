"""What holds for every request: an id to follow it by, careful headers, a limit on bodies, a line in the log."""

import re
import time
from http import HTTPStatus
from uuid import uuid4

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ProblemSpec, internal_error, render_problem

_API_PREFIX = "/api/"
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
    """Plain ASGI: nothing here reads or buffers a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request_id = scope["request_id"] = _request_id(Headers(scope=scope))
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
            await self._handle_limited(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - a server that gets hold of it logs what it says
            response = internal_error(Request(scope), error)
            if not status:
                await response(scope, receive, send_with_headers)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            _log.info("request", method=scope["method"], path=scope["path"], status=status, ms=milliseconds)

    async def _handle_limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _content_length(Headers(scope=scope)) > MAX_BODY_BYTES:
            refusal = ProblemSpec(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The body is too large.")
            await render_problem(Request(scope), refusal)(scope, receive, send)
        else:
            await self._app(scope, _limit_body(receive), send)


def _request_id(headers: Headers) -> str:
    """The caller's own, or that of the trace it is in (W3C's ``traceparent``), or a new one."""
    wished = headers.get("x-request-id", "")
    if _VALID_REQUEST_ID.fullmatch(wished):
        return wished
    traced = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return traced[1] if traced else uuid4().hex


def _content_length(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _limit_body(receive: Receive) -> Receive:
    """A body of no announced length is counted as it comes."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    return receive_limited
