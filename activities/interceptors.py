"""Interceptor for all activities: heartbeats while the process lives, and translates errors without leaking data."""

import asyncio
import contextlib
from typing import Any, NoReturn

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
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
from stafett.telemetry import error_location

_HEARTBEATS_PER_TIMEOUT = 4
_log = structlog.get_logger("stafett.activities")


def raise_if_cancelled() -> None:
    """Stop the running activity if its cancellation was requested."""
    if activity.in_activity() and activity.is_cancelled():
        raise WorkCancelledError("The activity was cancelled.")


class ActivityInterceptor(Interceptor):
    """Adds heartbeats and error translation to every activity of a worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    _outbound: ActivityOutboundInterceptor

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = outbound
        super().init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        heartbeats = asyncio.create_task(self._heartbeat())
        try:
            return await super().execute_activity(input)
        except Exception as error:  # noqa: BLE001 - every error is translated and raised
            _raise_translated(error)
        finally:
            heartbeats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeats

    async def _heartbeat(self) -> None:
        """Heartbeat from the event loop, because a thread inside a library call cannot."""
        timeout = activity.info().heartbeat_timeout
        while timeout:
            await asyncio.sleep(timeout.total_seconds() / _HEARTBEATS_PER_TIMEOUT)
            self._outbound.heartbeat()


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
