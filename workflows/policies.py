"""Timeouts, retry policies and priorities of activities."""

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

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""Longer than a pause of seven seconds with the interval of heartbeats. A killed worker is replaced after this time."""
_RETRY_UNTIL_AVAILABLE = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
DELIVERY_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
"""Retries after our own outages. After a failure of its receiver, a delivery sets the delay and counts the failures."""

# A month or a quarter; the years of most organisations; larger exports have the lowest priority.
_PRIORITY_BY_ROWS = ((10_000, 2), (100_000, 3))
_LOWEST_PRIORITY = 4


async def run_activity(
    method: Callable[[Any, ActivityInput], ActivityResult],
    argument: ActivityInput,
    summary: str,
    *,
    row_count: int | None = None,
) -> ActivityResult:
    """Run an activity and retry for up to four days, including while no worker is available.

    With a ``row_count`` the activity is CPU-bound: it runs on the CPU task queue, small exports before large ones.
    """
    return await workflow.execute_activity_method(
        method,
        argument,
        start_to_close_timeout=timedelta(hours=2),
        schedule_to_close_timeout=timedelta(days=4),
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_RETRY_UNTIL_AVAILABLE,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
        task_queue=None if row_count is None else cpu_queue(workflow.info().task_queue),
        priority=Priority.default if row_count is None else Priority(priority_key=_priority_key_for(row_count)),
    )


async def run_chunk_activity(
    method: Callable[[Any, ActivityInput], ActivityResult], argument: ActivityInput, summary: str, *, item_count: int
) -> ActivityResult:
    """Run an activity of a batch and retry for up to four days, like `run_activity`.

    ``item_count`` sets the priority. Cancellation is not awaited: the activity stops at its next chunk once PostgreSQL
    has the batch as ``cancelling``.
    """
    return await workflow.execute_activity_method(
        method,
        argument,
        start_to_close_timeout=timedelta(minutes=10),
        schedule_to_close_timeout=timedelta(days=4),
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_RETRY_UNTIL_AVAILABLE,
        cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
        summary=summary,
        priority=Priority(priority_key=_priority_key_for(item_count)),
    )


async def finish_despite_cancellation(work: Awaitable[ActivityResult]) -> ActivityResult:
    """Await ``work`` to completion, ignoring cancellation."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


def _priority_key_for(row_count: int) -> int:
    """Return the priority by size. Within one priority, organisations take turns: `start_job` sets the fairness key."""
    return next((priority for max_rows, priority in _PRIORITY_BY_ROWS if row_count <= max_rows), _LOWEST_PRIORITY)
