"""Activities whose thread hangs: they are tried again, can be cancelled, and use up no slot."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import ActivityFailureError, ActivityHandle, Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import CancelledError
from temporalio.worker import Worker

from activities.interceptors import ActivityInterceptor, raise_if_cancelled
from stafett.domain.errors import WorkCancelledError
from stafett.domain.thread_progress import record_step
from stafett.temporal.activity_threads import ActivityThreadPool, ActivityThreads
from stafett.temporal.workers import run_workers
from stafett.testing import wait_until

SILENCE = timedelta(milliseconds=500)
LONG = timedelta(minutes=5)


class HangingActivities:
    """An activity that hangs in its first attempt until the test releases it."""

    def __init__(self) -> None:
        self.hanging, self.released, self.noticed = Event(), Event(), Event()

    @activity.defn(no_thread_cancel_exception=True)
    def hang_once(self) -> int:
        attempt = activity.info().attempt
        if attempt == 1:
            self.hanging.set()
            self.released.wait()
            try:
                raise_if_cancelled()
            except WorkCancelledError:
                self.noticed.set()
                raise
        return attempt

    @activity.defn(no_thread_cancel_exception=True)
    def progress_slowly(self) -> int:
        """Take several times the silence that is allowed, in steps."""
        for _ in range(20):
            record_step()
            self.released.wait(SILENCE.total_seconds() / 5)
        return activity.info().attempt


@pytest.fixture
def activities() -> Iterator[HangingActivities]:
    """The activities; the threads that hang are released at the end of the test, lest they outlive it."""
    activities = HangingActivities()
    yield activities
    activities.released.set()


@asynccontextmanager
async def run_pool(
    temporal: Client, activities: HangingActivities, threads: ActivityThreads, *, size: int = 1
) -> AsyncIterator[tuple[str, ActivityThreadPool]]:
    queue = f"test-{uuid4().hex[:12]}"
    with threads.open_pool(size, queue) as pool:
        worker = Worker(
            temporal,
            task_queue=queue,
            activities=[activities.hang_once, activities.progress_slowly],
            interceptors=[ActivityInterceptor(pool)],
            activity_executor=pool,
            max_concurrent_activities=size,
            max_heartbeat_throttle_interval=timedelta(milliseconds=50),
            default_heartbeat_throttle_interval=timedelta(milliseconds=50),
        )
        async with run_workers(worker):
            yield queue, pool


async def start(temporal: Client, method: Any, queue: str) -> ActivityHandle[int]:
    run: ActivityHandle[int] = await temporal.start_activity(
        method,
        id=uuid4().hex,
        task_queue=queue,
        start_to_close_timeout=timedelta(hours=2),
        heartbeat_timeout=timedelta(seconds=2),
        retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50)),
    )
    return run


async def wait_for_leaked_threads(pool: ActivityThreadPool, count: int) -> None:
    async def count_leaked_threads() -> int:
        return pool.leaked_count

    await wait_until(count_leaked_threads, count.__eq__)


async def test_activity_whose_thread_hangs_is_tried_again(temporal: Client, activities: HangingActivities) -> None:
    async with run_pool(temporal, activities, ActivityThreads(max_silence=SILENCE)) as (queue, pool):
        assert await (await start(temporal, activities.hang_once, queue)).result() == 2
        assert (pool.leaked_count, pool.hanging_count, pool.is_hanging) == (1, 1, True)
        activities.released.set()
        await wait_for_leaked_threads(pool, 0)
        assert not pool.is_hanging
    assert activities.noticed.is_set()


async def test_activity_that_makes_progress_is_not_tried_again(temporal: Client, activities: HangingActivities) -> None:
    async with run_pool(temporal, activities, ActivityThreads(max_silence=SILENCE)) as (queue, pool):
        assert await (await start(temporal, activities.progress_slowly, queue)).result() == 1
        assert pool.leaked_count == 0


async def test_cancel_is_final_while_the_thread_hangs(temporal: Client, activities: HangingActivities) -> None:
    threads = ActivityThreads(max_silence=LONG, max_silence_after_cancel=SILENCE)
    async with run_pool(temporal, activities, threads) as (queue, pool):
        run = await start(temporal, activities.hang_once, queue)
        await asyncio.to_thread(activities.hanging.wait)
        await run.cancel()
        with pytest.raises(ActivityFailureError) as failure:
            await run.result()
        assert isinstance(failure.value.cause, CancelledError)
        assert (pool.leaked_count, threads.leaked_count) == (1, 1)


async def test_slot_of_a_hanging_thread_remains_usable(temporal: Client, activities: HangingActivities) -> None:
    threads = ActivityThreads(max_silence=SILENCE)
    async with run_pool(temporal, activities, threads) as (queue, _):
        assert await (await start(temporal, activities.hang_once, queue)).result() == 2
        assert await (await start(temporal, activities.progress_slowly, queue)).result() == 1


async def test_worker_ends_when_half_of_its_threads_hang(temporal: Client, activities: HangingActivities) -> None:
    threads = ActivityThreads(max_silence=SILENCE)
    async with run_pool(temporal, activities, threads, size=4) as (queue, pool):
        assert await (await start(temporal, activities.hang_once, queue)).result() == 2
        assert not pool.is_exhausted
        assert await (await start(temporal, activities.hang_once, queue)).result() == 2
        async with asyncio.timeout(120):
            await threads.wait_until_exhausted_or(asyncio.Event())


async def test_shutdown_does_not_wait_for_hanging_threads(temporal: Client, activities: HangingActivities) -> None:
    threads = ActivityThreads(max_silence=LONG, max_silence_after_cancel=SILENCE)
    async with asyncio.timeout(120), run_pool(temporal, activities, threads) as (queue, _):
        await start(temporal, activities.hang_once, queue)
        await asyncio.to_thread(activities.hanging.wait)
    assert threads.leaked_count == 1
