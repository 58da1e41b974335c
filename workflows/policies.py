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

Given = TypeVar("Given")
Answer = TypeVar("Answer")

_WITH_PATIENCE = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
_FOR_A_WHILE = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=24,
)
"""For about eight minutes of trying; a worker that is not there tries nothing."""
UNTIL_TAKEN = RetryPolicy(
    initial_interval=timedelta(seconds=5),
    backoff_coefficient=4,
    maximum_interval=timedelta(hours=12),
    maximum_attempts=13,
)
"""Of a receiver nobody can mend but its owner: within seconds, minutes, hours, and for almost three days in all."""

# A month or a quarter, the years of most organisations, and what is larger.
_MOST_ROWS = ((10_000, 2), (100_000, 3))
_LAST = 4


async def patiently(
    method: Callable[[Any, Given], Answer], given: Given, summary: str, *, rows: int | None = None
) -> Answer:
    """Run an activity, again and again over a long weekend while what it needs is away, a worker included.

    One that computes over so many ``rows`` waits for a core, the small before the large.
    """
    return await workflow.execute_activity_method(
        method,
        given,
        start_to_close_timeout=timedelta(hours=2),
        schedule_to_close_timeout=timedelta(days=4),
        heartbeat_timeout=timedelta(seconds=5),
        retry_policy=_WITH_PATIENCE,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
        task_queue=None if rows is None else cpu_queue(workflow.info().task_queue),
        priority=Priority.default if rows is None else Priority(priority_key=_turn(rows)),
    )


async def for_a_while(method: Callable[[Any, Given], Answer], given: Given, summary: str, *, rows: int) -> Answer:
    """Run an activity again and again, but not for ever: there is something else to do if it never succeeds.

    Who cancels it does not wait for it: what it does must stop of itself where PostgreSQL says so.
    """
    return await workflow.execute_activity_method(
        method,
        given,
        start_to_close_timeout=timedelta(minutes=10),
        schedule_to_close_timeout=timedelta(days=4),
        heartbeat_timeout=timedelta(seconds=5),
        retry_policy=_FOR_A_WHILE,
        cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
        summary=summary,
        priority=Priority(priority_key=_turn(rows)),
    )


async def to_its_end(work: Awaitable[Answer]) -> Answer:
    """Do it whatever is cancelled meanwhile, and however often."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


def _turn(rows: int) -> int:
    """A priority; who of several organisations comes first within one is fairness's business, by the run's own key."""
    return next((turn for most, turn in _MOST_ROWS if rows <= most), _LAST)
