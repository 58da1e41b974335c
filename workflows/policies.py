"""Timeouts, retry policies and priorities of activities."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, TimeoutError, TimeoutType  # noqa: A004 - the SDK's name

with workflow.unsafe.imports_passed_through():
    from stafett.temporal.queues import cpu_queue, outcome_queue, query_queue

ActivityInput = TypeVar("ActivityInput")
ActivityResult = TypeVar("ActivityResult")

HEARTBEAT_TIMEOUT = timedelta(seconds=12)
"""Longer than a pause of seven seconds with the interval of heartbeats. A killed worker is replaced after this time."""
_RETRY_UNTIL_AVAILABLE = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
DELIVERY_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
"""Retries after our own outages. After a failure of its receiver, a delivery sets the delay and counts the failures."""

# A month or a quarter; the years of most organisations; larger exports start with the lowest of Temporal's priorities.
_PRIORITY_BY_ROWS = ((10_000, 2), (100_000, 4))
_LOWEST_PRIORITY = 5
_UNKNOWN_SIZE_PRIORITY = 3
_HIGHEST_PRIORITY = 1
AGEING_INTERVAL = timedelta(minutes=5)
"""An activity that has not started after this is scheduled again, one priority higher."""


class Workload(NamedTuple):
    """The size and kind of an activity's work, which decide its task queue and its priority."""

    row_count: int | None = None
    """None before the rows are counted."""
    is_late: bool = True
    """Whether the job has done most of its work before."""
    derive_queue: Callable[[str], str] | None = cpu_queue
    """Derives the activity's task queue from the workflow's; None for the workflow's own."""


IO_WORKLOAD = Workload(derive_queue=None)
QUERY_WORKLOAD = Workload(derive_queue=query_queue)


async def run_activity(
    method: Callable[[Any, ActivityInput], ActivityResult],
    argument: ActivityInput,
    summary: str,
    workload: Workload = IO_WORKLOAD,
) -> ActivityResult:
    """Run an activity and retry for up to four days, including while no worker is available.

    The workload sets the priority: small exports before large ones, and the late stages of a size before its first,
    so that exports that were requested together end one after another and not all at the end. A run that waits gets a
    higher priority, so that a large export waits for ever behind no stream of small ones.
    """
    base, task_queue = _base_priority_key_for(workload), workflow.info().task_queue
    while True:
        priority_key = _raise_priority_by_age(base)
        try:
            return await workflow.execute_activity_method(
                method,
                argument,
                start_to_close_timeout=timedelta(hours=2),
                schedule_to_start_timeout=None if priority_key == _HIGHEST_PRIORITY else AGEING_INTERVAL,
                schedule_to_close_timeout=timedelta(days=4),
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=_RETRY_UNTIL_AVAILABLE,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=summary,
                task_queue=workload.derive_queue(task_queue) if workload.derive_queue else None,
                priority=Priority(priority_key=priority_key),
            )
        except ActivityError as error:
            if not _has_not_started(error):
                raise


async def run_outcome_activity(
    method: Callable[[Any, ActivityInput], ActivityResult], argument: ActivityInput, summary: str
) -> ActivityResult:
    """Run an activity that ends a job or reads its outcome, on a task queue where no work is ahead of it."""
    return await workflow.execute_activity_method(
        method,
        argument,
        start_to_close_timeout=timedelta(hours=2),
        schedule_to_close_timeout=timedelta(days=4),
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_RETRY_UNTIL_AVAILABLE,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
        task_queue=outcome_queue(workflow.info().task_queue),
        priority=Priority(priority_key=_UNKNOWN_SIZE_PRIORITY),  # without one, organisations would not take turns
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
        priority=Priority(priority_key=_raise_priority_by_age(_priority_key_for(item_count))),
    )


async def finish_despite_cancellation(work: Awaitable[ActivityResult]) -> ActivityResult:
    """Await ``work`` to completion, ignoring cancellation."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


def _base_priority_key_for(workload: Workload) -> int:
    if workload.row_count is None:
        return _UNKNOWN_SIZE_PRIORITY
    return _priority_key_for(workload.row_count) - workload.is_late


def _priority_key_for(row_count: int) -> int:
    """Return the priority by size. Within one priority, organisations take turns: `start_job` sets the fairness key."""
    return next((priority for max_rows, priority in _PRIORITY_BY_ROWS if row_count <= max_rows), _LOWEST_PRIORITY)


def _raise_priority_by_age(priority_key: int) -> int:
    """Raise the priority by one for each interval since the start of the run."""
    age = workflow.now() - workflow.info().start_time
    return max(_HIGHEST_PRIORITY, priority_key - age // AGEING_INTERVAL)


def _has_not_started(error: ActivityError) -> bool:
    """Return whether no worker has taken the activity within the ageing interval."""
    return isinstance(error.cause, TimeoutError) and error.cause.type is TimeoutType.SCHEDULE_TO_START
