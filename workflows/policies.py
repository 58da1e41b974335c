"""How long things may take and how often they are tried: the one place for it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

with workflow.unsafe.imports_passed_through():
    from stafett.temporal.client import cpu_queue

ActivityInput = TypeVar("ActivityInput")
ActivityResult = TypeVar("ActivityResult")

_RETRY_UNTIL_AVAILABLE = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
_RETRY_8_MINUTES = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=24,
)
"""For about eight minutes of trying; a worker that is not there tries nothing."""
DELIVERY_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=5),
    backoff_coefficient=4,
    maximum_interval=timedelta(hours=12),
    maximum_attempts=13,
)
"""Of a receiver nobody can mend but its owner: within seconds, minutes, hours, and for almost three days in all."""

# A month or a quarter, the years of most organisations, and what is larger.
_PRIORITY_BY_ROWS = ((10_000, 2), (100_000, 3))
_LOWEST_PRIORITY = 4


async def run_activity(
    method: Callable[[Any, ActivityInput], ActivityResult],
    argument: ActivityInput,
    summary: str,
    *,
    row_count: int | None = None,
) -> ActivityResult:
    """Run an activity, again and again over a long weekend while what it needs is away, a worker included.

    One that computes over so many ``rows`` waits for a core, the small before the large.
    """
    return await workflow.execute_activity_method(
        method,
        argument,
        start_to_close_timeout=timedelta(hours=2),
        schedule_to_close_timeout=timedelta(days=4),
        heartbeat_timeout=timedelta(seconds=5),
        retry_policy=_RETRY_UNTIL_AVAILABLE,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
        task_queue=None if row_count is None else cpu_queue(workflow.info().task_queue),
        priority=Priority.default if row_count is None else Priority(priority_key=_priority_for(row_count)),
    )


async def run_activity_bounded(
    method: Callable[[Any, ActivityInput], ActivityResult], argument: ActivityInput, summary: str, *, row_count: int
) -> ActivityResult:
    """Run an activity again and again, but not for ever: there is something else to do if it never succeeds.

    Who cancels it does not wait for it: what it does must stop of itself where PostgreSQL says so.
    """
    return await workflow.execute_activity_method(
        method,
        argument,
        start_to_close_timeout=timedelta(minutes=10),
        schedule_to_close_timeout=timedelta(days=4),
        heartbeat_timeout=timedelta(seconds=5),
        retry_policy=_RETRY_8_MINUTES,
        cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
        summary=summary,
        priority=Priority(priority_key=_priority_for(row_count)),
    )


async def finish_despite_cancellation(work: Awaitable[ActivityResult]) -> ActivityResult:
    """Do it whatever is cancelled meanwhile, and however often."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


def _priority_for(row_count: int) -> int:
    """A priority; who of several organisations comes first within one is fairness's business, by the run's own key."""
    return next((turn for most, turn in _PRIORITY_BY_ROWS if row_count <= most), _LOWEST_PRIORITY)
