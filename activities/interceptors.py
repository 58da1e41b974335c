"""Interceptor for all activities: heartbeats while their threads make progress, and errors without personal data."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NoReturn

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from stafett.domain.errors import (
    ExportError,
    ServiceUnavailableError,
    StafettError,
    StaleAttemptError,
    WorkCancelledError,
)
from stafett.domain.export_job import STALE_ATTEMPT
from stafett.domain.thread_progress import ProgressClock, is_abandoned, start_clock
from stafett.monitoring.logs import error_location
from stafett.monitoring.metrics import RetryCause
from stafett.temporal.activity_threads import ActivityThreadPool

NO_PROGRESS = "no_progress"
"""Type of the error of an activity whose thread hangs; Temporal retries it."""

RecordRetry = Callable[[str, RetryCause], None]
"""Records that Temporal tries an activity of this type again."""

_HEARTBEATS_PER_TIMEOUT = 10
_MAX_INTERVAL = timedelta(seconds=1)
_log = structlog.get_logger("stafett.activities")


def raise_if_cancelled() -> None:
    """Stop the running activity if its cancellation was requested or the worker no longer waits for its thread."""
    if activity.in_activity() and (activity.is_cancelled() or is_abandoned()):
        raise WorkCancelledError("The activity was cancelled.")


class ActivityInterceptor(Interceptor):
    """Adds heartbeats, detection of hanging threads and error translation to every activity of a worker."""

    def __init__(
        self, pool: ActivityThreadPool | None = None, record_retry: RecordRetry = lambda _activity_type, _cause: None
    ) -> None:
        self._pool = pool
        self._record_retry = record_retry

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Inbound(next, self._pool, self._record_retry)


class _Inbound(ActivityInboundInterceptor):
    _outbound: ActivityOutboundInterceptor

    def __init__(
        self, next_interceptor: ActivityInboundInterceptor, pool: ActivityThreadPool | None, record_retry: RecordRetry
    ) -> None:
        super().__init__(next_interceptor)
        self._pool = pool
        self._record_retry = record_retry

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = outbound
        super().init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        work = super().execute_activity
        try:
            if self._pool is None or inspect.iscoroutinefunction(input.fn):
                return await self._await_coroutine(work(input))
            clock = start_clock(self._pool.max_silence)
            return await self._await_thread(asyncio.ensure_future(work(input)), clock, self._pool)
        except Exception as error:  # noqa: BLE001 - every error is translated and raised
            if (cause := _find_retry_cause(error)) is not None:
                self._record_retry(activity.info().activity_type, cause)
            _raise_translated(error)

    async def _await_coroutine(self, work: Awaitable[Any]) -> Any:
        """Heartbeat while the event loop runs, because everything that a coroutine awaits has a timeout of its own."""
        heartbeats = asyncio.create_task(self._heartbeat())
        try:
            return await work
        finally:
            heartbeats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeats

    async def _heartbeat(self) -> None:
        while timeout := activity.info().heartbeat_timeout:
            await asyncio.sleep(_interval_from(timeout).total_seconds())
            self._outbound.heartbeat()

    async def _await_thread(self, thread: asyncio.Future[Any], clock: ProgressClock, pool: ActivityThreadPool) -> Any:
        """Heartbeat from the event loop, because a thread inside a library call cannot; abandon a thread that hangs."""
        timeout = activity.info().heartbeat_timeout
        interval = _interval_from(timeout) if timeout else _MAX_INTERVAL
        while True:
            await asyncio.wait({thread}, timeout=interval.total_seconds())
            if thread.done():
                return thread.result()
            clock.add_time(interval)
            if activity.is_cancelled() and clock.silence >= pool.max_silence_after_cancel:
                _abandon(thread, clock, pool)
                raise CancelledError("The activity was cancelled; its thread hangs.")
            if clock.hangs:
                _abandon(thread, clock, pool)
                raise ApplicationError("The activity made no progress.", type=NO_PROGRESS)
            if timeout:
                self._outbound.heartbeat()


def _interval_from(heartbeat_timeout: timedelta) -> timedelta:
    return min(heartbeat_timeout / _HEARTBEATS_PER_TIMEOUT, _MAX_INTERVAL)


def _abandon(thread: asyncio.Future[Any], clock: ProgressClock, pool: ActivityThreadPool) -> None:
    """Stop waiting for a thread; what it commits or stores later is rejected, because its attempt is over."""
    pool.abandon(clock)
    activity_type = activity.info().activity_type
    _log.warning("activity_thread_abandoned", activity=activity_type, leaked_threads=pool.leaked_count)

    def log_return(thread: asyncio.Future[Any]) -> None:
        pool.mark_returned(clock)
        if not thread.cancelled():
            thread.exception()  # retrieved, so that asyncio does not log its text
        _log.info("abandoned_activity_thread_returned", activity=activity_type, leaked_threads=pool.leaked_count)

    thread.add_done_callback(log_return)


def _find_retry_cause(error: Exception) -> RetryCause | None:
    """Return why Temporal tries the activity again, or None if it does not."""
    match error:
        case ApplicationError(non_retryable=False, type=error_type):
            return RetryCause.NO_PROGRESS if error_type == NO_PROGRESS else RetryCause.RECEIVER
        case ServiceUnavailableError(service=service):
            return RetryCause.POSTGRESQL if "PostgreSQL" in service else RetryCause.S3
        case RPCError():
            return RetryCause.TEMPORAL
        case StafettError() | ApplicationError() | CancelledError():
            return None
        case _:
            return RetryCause.UNEXPECTED


def _raise_translated(error: Exception) -> NoReturn:
    """Map domain errors to typed ApplicationErrors; unexpected errors keep only their class name.

    The text of an unexpected error may quote rows. Temporal retries only unavailable services and unexpected errors;
    a stage limits how often the latter may happen.
    """
    error_type = type(error).__name__
    match error:
        case CancelledError() | ApplicationError():
            raise error
        case WorkCancelledError():
            raise CancelledError(str(error)) from None
        case ExportError():
            raise ApplicationError(str(error), error.retryable, type=error.code, non_retryable=True) from None
        case StaleAttemptError():
            raise ApplicationError(str(error), type=STALE_ATTEMPT, non_retryable=True) from None
        case ServiceUnavailableError():
            raise ApplicationError(str(error), error.service, type=error_type) from None
        case StafettError():
            raise ApplicationError(str(error), type=error_type, non_retryable=True) from None
        case _:
            _log.warning(
                "activity_failed",
                activity=activity.info().activity_type,
                error=error_type,
                location=error_location(error),
            )
            raise ApplicationError("An unexpected error.", type=error_type) from None
