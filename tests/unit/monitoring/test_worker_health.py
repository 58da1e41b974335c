"""Health of a worker: the event loop, threads and polls, each hanging in turn."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from threading import Event, Thread

import pytest

from stafett.domain.thread_progress import ProgressClock
from stafett.monitoring.server import MonitoringPage
from stafett.monitoring.worker_health import MAX_POLL_AGE, LastPoll, WorkerHealth
from stafett.temporal.activity_threads import ActivityThreads

POLLS = b"""
# TYPE temporal_long_request_total counter
temporal_long_request_total{namespace="default",operation="PollActivityTaskQueue",task_queue="a"} %d
temporal_long_request_total{namespace="default",operation="GetWorkflowExecutionHistory"} 7
"""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def read_page(page: MonitoringPage) -> tuple[HTTPStatus, dict[str, object]]:
    return page.status, json.loads(page.body)


def test_worker_whose_parts_all_run_is_healthy(loop: asyncio.AbstractEventLoop) -> None:
    threads = ActivityThreads()
    with threads.open_pool(2, "cpu"):
        page = WorkerHealth(loop, threads, lambda: POLLS % 1).build_health_page()
    assert read_page(page) == (HTTPStatus.OK, {"event_loop": "ok", "polls": "ok", "threads": {"cpu": "ok"}})


def test_event_loop_that_hangs_is_reported(loop: asyncio.AbstractEventLoop) -> None:
    release = Event()
    loop.call_soon_threadsafe(release.wait)
    try:
        status, content = read_page(WorkerHealth(loop, ActivityThreads(), None).build_health_page())
    finally:
        release.set()
    assert (status, content["event_loop"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "hanging")


def test_pool_whose_abandoned_thread_makes_no_progress_is_reported(loop: asyncio.AbstractEventLoop) -> None:
    threads, clock = ActivityThreads(), ProgressClock(timedelta(seconds=45))
    with threads.open_pool(2, "cpu") as pool, threads.open_pool(2, "queries"):
        pool.abandon(clock)
        clock.add_time(timedelta(seconds=46))
        status, content = read_page(WorkerHealth(loop, threads, None).build_health_page())
    assert (status, content["threads"]) == (HTTPStatus.SERVICE_UNAVAILABLE, {"cpu": "hanging", "queries": "ok"})


def test_pool_with_a_call_that_does_not_end_is_reported(loop: asyncio.AbstractEventLoop) -> None:
    threads, release = ActivityThreads(), Event()
    with (
        threads.open_pool(1, "email", max_task_time=timedelta(0)) as pool,
        threads.open_pool(1, "cpu") as unlimited_pool,
    ):
        calls = [pool.submit(release.wait), unlimited_pool.submit(release.wait)]
        status, content = read_page(WorkerHealth(loop, threads, None).build_health_page())
        release.set()
        assert [call.result() for call in calls] == [True, True]
        assert not pool.is_hanging
    assert (status, content["threads"]) == (HTTPStatus.SERVICE_UNAVAILABLE, {"email": "hanging", "cpu": "ok"})


def test_last_poll_is_recent_while_the_number_of_polls_grows() -> None:
    now, polls = [0.0], [1]
    last_poll = LastPoll(lambda: POLLS % polls[0], clock=lambda: now[0])
    for _ in range(5):
        now[0] += MAX_POLL_AGE.total_seconds()
        polls[0] += 1
        assert last_poll.is_recent


@pytest.mark.parametrize("can_be_read", [True, False])
def test_last_poll_is_too_old_if_no_other_follows_or_it_cannot_be_read(*, can_be_read: bool) -> None:
    now = [0.0]

    def read_metrics() -> bytes:
        if can_be_read:
            return POLLS % 3
        raise ConnectionRefusedError

    last_poll = LastPoll(read_metrics, clock=lambda: now[0])
    assert last_poll.is_recent
    now[0] = MAX_POLL_AGE.total_seconds() + 1
    assert not last_poll.is_recent


def test_worker_is_ready_only_between_start_and_stop(loop: asyncio.AbstractEventLoop) -> None:
    health = WorkerHealth(loop, ActivityThreads(), None)
    assert health.build_readiness_page().status is HTTPStatus.SERVICE_UNAVAILABLE
    health.is_ready = True
    assert health.build_readiness_page().status is HTTPStatus.OK
