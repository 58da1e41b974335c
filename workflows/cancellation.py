"""How every run is stopped: by our signal or as the engine asks, once, and however often it is asked for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from stafett.domain.export_job import STALE_ATTEMPT
    from workflows.policies import finish_despite_cancellation

WorkflowResult = TypeVar("WorkflowResult")


class CancellableWorkflow(Generic[WorkflowResult]):
    """A run whose work may have to stop, and which then has something of its own to write down."""

    _task: asyncio.Task[WorkflowResult] | None = None
    _is_cancel_signalled = False

    @workflow.signal
    def cancel(self) -> None:
        """Stop: from the gateway, the Web UI or Temporal's own command line."""
        self._is_cancel_signalled = True
        if self._task and not self._task.cancelling():
            self._task.cancel()

    async def _run_cancellable(self, work: Coroutine[Any, Any, WorkflowResult]) -> WorkflowResult:
        """Cancelled once, however often it is asked for: a second time, what was answered would be lost."""
        self._task = asyncio.create_task(work)
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if not self._task.cancelling():
                self._task.cancel()
            return await finish_despite_cancellation(self._task)

    @property
    def _cancel_requested(self) -> bool:
        return self._is_cancel_signalled or workflow.cancellation_reason() is not None

    def _raise_if_cancelled(self) -> None:
        """Not if we are to stop: an activity that came to its end all the same has swallowed the cancel."""
        if self._cancel_requested:
            raise asyncio.CancelledError

    def _close_as_cancelled(self) -> None:
        """What the engine was asked to cancel is closed as cancelled; what our signal stopped has completed."""
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError


def is_stale_attempt(error: BaseException) -> bool:
    """Whether somebody else has ended this attempt, or begun the next."""
    cause = error.__cause__
    return isinstance(cause, ApplicationError) and cause.type == STALE_ATTEMPT
