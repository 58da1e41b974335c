"""Cancellation of a workflow by our signal or by Temporal's cancel request, applied once however often it is sent."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from stafett.domain.export_job import STALE_ATTEMPT
    from stafett.temporal.client import CANCEL_SIGNAL
    from workflows.policies import finish_despite_cancellation

WorkflowResult = TypeVar("WorkflowResult")


class CancellableWorkflow(Generic[WorkflowResult]):
    """A workflow that records its own outcome after it was cancelled."""

    _task: asyncio.Task[WorkflowResult] | None = None
    _is_cancel_signalled = False

    @workflow.signal(dynamic=True)
    def handle_signal(self, name: str, _arguments: Sequence[RawValue]) -> None:
        """Cancel the job at the signal ``cancel``: sent by the API, the Web UI or Temporal's command line.

        A named handler would lose the signal if its input cannot be decoded; this one never decodes it.
        """
        if name == CANCEL_SIGNAL:
            self._cancel()
        else:
            workflow.logger.warning("unknown signal ignored")

    def _cancel(self) -> None:
        self._is_cancel_signalled = True
        if self._task and not self._task.cancelling():
            self._task.cancel()

    async def _run_cancellable(self, work: Coroutine[Any, Any, WorkflowResult]) -> WorkflowResult:
        """Cancel the inner task at most once: a second cancel would discard the activity's result."""
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
        """Raise if cancelled; called before each step, because a finished activity has swallowed the cancellation."""
        if self._cancel_requested:
            raise asyncio.CancelledError

    def _close_as_cancelled(self) -> None:
        """Close the run as cancelled after Temporal's cancel request; after our signal it closes as completed."""
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError


def is_stale_attempt(error: BaseException) -> bool:
    """Return whether this attempt has already ended, or a later one has started."""
    cause = error.__cause__
    return isinstance(cause, ApplicationError) and cause.type == STALE_ATTEMPT
