"""What holds for every activity: it is alive as long as its process is, and its errors tell nothing they must not."""

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
    """End the running activity if somebody asked for it."""
    if activity.in_activity() and activity.is_cancelled():
        raise WorkCancelledError("The work was asked to stop.")


class ActivityInterceptor(Interceptor):
    """The worker's one interceptor."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    _outbound: ActivityOutboundInterceptor

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = outbound
        super().init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        beating = asyncio.create_task(self._heartbeat())
        try:
            return await super().execute_activity(input)
        except Exception as error:  # noqa: BLE001 - every one of them is translated, none is swallowed
            _raise_translated(error)
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating

    async def _heartbeat(self) -> None:
        """Heartbeat from the loop: a thread deep in a library cannot, and need not."""
        timeout = activity.info().heartbeat_timeout
        while timeout:
            await asyncio.sleep(timeout.total_seconds() / _HEARTBEATS_PER_TIMEOUT)
            self._outbound.heartbeat()


def _raise_translated(error: Exception) -> NoReturn:
    """Domain errors by their code; of others only the kind: their texts may quote rows.

    Only what is away is waited for. A surprise is tried again too; its stage keeps count of them.
    """
    kind = type(error).__name__
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
            raise ApplicationError(str(error), error.service, type=kind) from None
        case StafettError():
            raise ApplicationError(str(error), type=kind, non_retryable=True) from None
        case _:
            _log.warning(
                "activity_failed", activity=activity.info().activity_type, error=kind, at=error_location(error)
            )
            raise ApplicationError("An unexpected error.", type=kind) from None
