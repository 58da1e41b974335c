"""A second process of the API that serves long requests, so that they do not delay the other ones.

Python computes in one thread at a time: while ten thousand items are validated, each step of every other request in the
same process waits. The second process runs the same application with the lowest priority.
"""

import asyncio
import logging
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from threading import Thread
from uuid import UUID
from weakref import WeakValueDictionary

import httpx
import structlog
from fastapi import Request, Response
from opentelemetry import propagate

from stafett.database.connection_budget import LONG_REQUEST_CONNECTIONS
from stafett.domain.errors import ServiceUnavailableError
from stafett.settings import MetricsSettings, Settings

_LISTENER_VARIABLE = "STAFETT_LONG_REQUEST_LISTENER"  # the file descriptor of the second process's socket
_PROBE_SECONDS, _MAX_START_SECONDS = 1.0, 120.0
_BUSY_SECONDS, _MAX_SILENT_SECONDS = 6.0, 20.0  # a busy process with the lowest priority may not answer for seconds
_STOP_SECONDS, _RESTART_SECONDS = 8.0, 1.0
_TIMEOUT = httpx.Timeout(5, read=90, write=60)  # longer than the longest `Prefer: wait`
_NO_REUSE = httpx.Limits(max_keepalive_connections=0)
_HEADERS_OF_CONNECTION = frozenset({b"connection", b"keep-alive", b"te", b"upgrade"})
_REPLACED_REQUEST_HEADERS = frozenset(
    {b"x-request-id", b"traceparent", b"tracestate", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"}
)
_REPLACED_RESPONSE_HEADERS = frozenset({b"content-length", b"date", b"x-request-id"})
_NICENESS = 19
_log = structlog.get_logger("stafett.api")


class LongRequestProcess:
    """Keeps the second process running, and forwards requests to it."""

    def __init__(self, requests_per_user: int) -> None:
        self._requests_per_user = requests_per_user
        self.is_ready = False
        """Whether the process answers. While it does not, long requests are served by the first one."""

        self.pid = 0
        self._url = ""
        self._shares: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, limits=_NO_REUSE, trust_env=False)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run the process during the block, and start it again when it ends or does not answer."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log each probe and each forwarded request
        with socket.create_server(("127.0.0.1", 0)) as listener:
            host, port = listener.getsockname()
            self._url = f"http://{host}:{port}"
            supervision = asyncio.create_task(self._keep_running(listener))
            try:
                yield
            finally:
                supervision.cancel()
                await asyncio.gather(supervision, return_exceptions=True)
                await self._client.aclose()

    async def forward(self, request: Request, user_id: UUID) -> Response:
        """Return the second process's response to the request, whose body has not been read.

        A user's further long requests wait, because they also occupy PostgreSQL and this process.
        """
        share = self._shares.setdefault(user_id, asyncio.Semaphore(self._requests_per_user))
        async with share:
            return await self._forward(request)

    async def _forward(self, request: Request) -> Response:
        path, query = request.scope["raw_path"], request.scope["query_string"]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        headers = _drop_headers(request.headers.raw, _HEADERS_OF_CONNECTION | _REPLACED_REQUEST_HEADERS)
        trace_context: dict[str, str] = {}
        propagate.inject(trace_context)  # nothing unless this process exports traces
        trace_headers = [(name.encode(), value.encode()) for name, value in trace_context.items()]
        try:
            response = await self._client.request(
                request.method,
                httpx.URL(self._url).copy_with(raw_path=path + b"?" + query if query else path),
                headers=[*headers, *trace_headers, (b"x-request-id", request.scope["request_id"].encode())],
                content=request.stream() if has_body else None,
            )
        except httpx.HTTPError:
            raise ServiceUnavailableError("The process for long requests") from None
        request.scope["is_logged"] = True  # by the second process
        forwarded = Response(response.content, response.status_code)
        forwarded.raw_headers.extend(
            _drop_headers(response.headers.raw, _HEADERS_OF_CONNECTION | _REPLACED_RESPONSE_HEADERS)
        )
        return forwarded

    async def _keep_running(self, listener: socket.socket) -> None:
        while True:
            try:
                process = await _start_process(listener.fileno())
            except OSError as error:
                _log.warning("long_request_process_not_started", error=type(error).__name__)
            else:
                await self._watch_to_end(process)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _watch_to_end(self, process: Process) -> None:
        self.pid = process.pid
        try:
            await self._watch(process)
        finally:
            self.is_ready = False
            await _stop_process(process)
        _log.warning("long_request_process_ended", exit_code=process.returncode)

    async def _watch(self, process: Process) -> None:
        """Return when the process has ended, or has not answered for too long."""
        loop = asyncio.get_running_loop()
        answered_at, deadline = float("-inf"), loop.time() + _MAX_START_SECONDS
        while process.returncode is None and loop.time() < deadline:
            with suppress(httpx.HTTPError):
                await self._client.get(f"{self._url}/healthz", timeout=_PROBE_SECONDS)
                answered_at = loop.time()
                deadline = answered_at + _MAX_SILENT_SECONDS
            self.is_ready = loop.time() < answered_at + _BUSY_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _PROBE_SECONDS)


def _drop_headers(headers: list[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in dropped]


async def _start_process(listener: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stafett", "api"),
        stdin=PIPE,
        pass_fds=[listener],
        env=os.environ | {_LISTENER_VARIABLE: str(listener)},
        # Ctrl-C is for the first process only. In a session of its own, the process would not compete with the first
        # one by its priority: Linux shares the processors among sessions (autogroup) before it compares priorities.
        process_group=0,
    )


async def _stop_process(process: Process) -> None:
    """End the process by closing its standard input, or kill it if it does not end."""
    if process.stdin:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def take_listener() -> socket.socket | None:
    """Return the socket that this process listens on if it is the second process, else None."""
    descriptor = os.environ.get(_LISTENER_VARIABLE)
    return socket.socket(fileno=int(descriptor)) if descriptor else None


def reduce_settings(settings: Settings) -> Settings:
    """Return the second process's settings: few connections, and no metrics, because the first counts its requests."""
    database = settings.database.model_copy(update={"pool_size": LONG_REQUEST_CONNECTIONS})
    return settings.model_copy(update={"database": database, "metrics": MetricsSettings()})


def follow_first_process(stop: Callable[[], None]) -> None:
    """Lower this process's priority, and call ``stop`` when the first process ends or closes the standard input."""
    os.nice(_NICENESS)

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        stop()

    Thread(target=wait_for_end, daemon=True).start()
