"""Uvicorn's HTTP protocol with limits on connections: their number, and the time to send a request."""

import asyncio
import resource
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.refusals import RefusalLog
from stafett.settings import ConnectionSettings

_RESERVED_FILES = 256
"""Open files of the process that are no client connections: PostgreSQL, S3, Temporal, libraries."""

_MAX_RAISED_FILES = 65_536
_TIMEOUT_RESPONSE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedHttpProtocol(H11Protocol):
    """Closes connections whose request does not arrive in time. Uvicorn itself waits for it without limit.

    If there are too many connections, the one that has waited longest without a request is closed: an honest client
    sends its request at once and is served, whatever the number of idle connections.
    """

    limits: ClassVar[ConnectionSettings]
    max_connections: ClassVar[int]
    awaiting_heads: ClassVar[dict["BoundedHttpProtocol", None]]
    refusals: ClassVar[RefusalLog]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._received_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self.max_connections:
            next(iter(self.awaiting_heads)).refuse("connections_refused")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting_head()
        self._stop_measuring_body()
        self._stop_awaiting_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None:
            self._await_head()  # the first bytes of another request on this connection
        self._received_bytes += len(data)
        super().data_received(data)
        self._update_timers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update_timers()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            timeout = self.limits.write_timeout_seconds
            self._write_timer = self.loop.call_later(timeout, self.refuse, "responses_not_read")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_awaiting_reader()

    def _update_timers(self) -> None:
        """Start or stop the timers, depending on what of the request has arrived."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_awaiting_head()
        if self.conn.their_state is not h11.SEND_BODY:
            self._stop_measuring_body()
        elif self._body_timer is None:
            self._start_measuring_body()

    def _await_head(self) -> None:
        self.awaiting_heads[self] = None
        timeout = self.limits.head_timeout_seconds
        self._head_timer = self.loop.call_later(timeout, self._refuse_late_head)

    def _stop_awaiting_head(self) -> None:
        self.awaiting_heads.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_late_head(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TIMEOUT_RESPONSE)
        self.refuse("request_heads_timed_out")

    def _start_measuring_body(self) -> None:
        self._received_bytes = 0
        self._body_timer = self.loop.call_later(self.limits.body_grace_seconds, self._measure_body)

    def _stop_measuring_body(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _measure_body(self) -> None:
        """Close the connection if too little arrived, unless the API itself has paused the client."""
        is_paused = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if not is_paused and self._received_bytes < self._min_bytes_per_interval:
            self.refuse("request_bodies_timed_out")
        else:
            self._start_measuring_body()

    @property
    def _min_bytes_per_interval(self) -> float:
        return self.limits.min_body_bytes_per_second * self.limits.body_grace_seconds

    def _stop_awaiting_reader(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def refuse(self, event: str) -> None:
        """Close the connection at once, whether or not the client reads."""
        self._stop_awaiting_head()
        if self.transport.is_closing():
            return
        self.refusals.record(event)
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()


def create_http_protocol(settings: ConnectionSettings) -> type[H11Protocol]:
    """Create the protocol class of one server, which counts that server's connections."""

    class _ServerProtocol(BoundedHttpProtocol):
        limits = settings
        max_connections = _compute_max_connections(settings)
        awaiting_heads: ClassVar[dict[BoundedHttpProtocol, None]] = {}
        refusals = RefusalLog()

    return _ServerProtocol


def _compute_max_connections(settings: ConnectionSettings) -> int:
    """Allow the process more open files if the system permits it, and leave some for other uses than connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = max(soft, min(hard, _MAX_RAISED_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(1, min(settings.max_connections, raised - _RESERVED_FILES))
