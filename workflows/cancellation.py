"""How every run is stopped: by our signal or as the engine asks, once, and however often it is asked for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from stafett.domain.export_job import STALE_ATTEMPT
    from workflows.policies import to_its_end

End = TypeVar("End")


class Stoppable(Generic[End]):
    """A run whose work may have to stop, and which then has something of its own to write down."""

    _work: asyncio.Task[End] | None = None
    _is_asked_to_stop = False

    @workflow.signal
    def cancel(self) -> None:
        """Stop: from the gateway, the Web UI or Temporal's own command line."""
        self._is_asked_to_stop = True
        if self._work and not self._work.cancelling():
            self._work.cancel()

    async def _worked(self, work: Coroutine[Any, Any, End]) -> End:
        """Cancelled once, however often it is asked for: a second time, what was answered would be lost."""
        self._work = asyncio.create_task(work)
        try:
            return await asyncio.shield(self._work)
        except asyncio.CancelledError:
            if not self._work.cancelling():
                self._work.cancel()
            return await to_its_end(self._work)

    @property
    def _stops(self) -> bool:
        return self._is_asked_to_stop or workflow.cancellation_reason() is not None

    def _go_on(self) -> None:
        """Not if we are to stop: an activity that came to its end all the same has swallowed the cancel."""
        if self._stops:
            raise asyncio.CancelledError

    def _close_as_asked(self) -> None:
        """What the engine was asked to cancel is closed as cancelled; what our signal stopped has completed."""
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError


def is_stale(error: BaseException) -> bool:
    """Whether somebody else has ended this attempt, or begun the next."""
    cause = error.__cause__
    return isinstance(cause, ApplicationError) and cause.type == STALE_ATTEMPT
