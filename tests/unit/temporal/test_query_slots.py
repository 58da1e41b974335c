"""Slots of the query queue and the pool of CPU threads that they depend on."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from stafett.temporal import activity_threads
from stafett.temporal.activity_threads import ActivityThreadPool, ActivityThreads
from stafett.temporal.query_slots import QuerySlots

_CONTEXT: Any = None
"""The supplier treats all reservations alike, whatever their context."""


@pytest.fixture
def cpu_pool() -> Iterator[ActivityThreadPool]:
    with ActivityThreads().open_pool(2, "cpu") as pool:
        yield pool


@pytest.fixture
def release() -> Iterator[Event]:
    """An event that the work of the threads waits for; it is set at the end, so that no thread outlives its test."""
    event = Event()
    yield event
    event.set()


@pytest.fixture
def running(cpu_pool: ActivityThreadPool, release: Event) -> list[Future[bool]]:
    return [cpu_pool.submit(release.wait) for _ in range(cpu_pool.size)]


@pytest.fixture
def no_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads count as idle as soon as their work has ended."""
    monkeypatch.setattr(activity_threads, "_IDLE_AFTER", timedelta(0))


def reserve_all(slots: QuerySlots) -> int:
    count = 0
    while slots.try_reserve_slot(_CONTEXT) is not None:
        count += 1
    return count


def test_all_slots_are_available_while_a_cpu_thread_is_idle(cpu_pool: ActivityThreadPool) -> None:
    cpu_pool.submit(int).result()
    assert reserve_all(QuerySlots(4, cpu_pool)) == 4


def test_all_slots_are_available_without_cpu_threads_in_the_process() -> None:
    assert reserve_all(QuerySlots(4, None)) == 4


@pytest.mark.usefixtures("running")
def test_one_slot_is_available_while_every_cpu_thread_works(cpu_pool: ActivityThreadPool) -> None:
    slots = QuerySlots(4, cpu_pool)
    assert reserve_all(slots) == 1
    slots.release_slot(_CONTEXT)
    assert reserve_all(slots) == 1


def test_threads_between_two_activities_still_count_as_busy(
    cpu_pool: ActivityThreadPool, release: Event, running: list[Future[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity_threads, "_IDLE_AFTER", timedelta(hours=1))
    release.set()
    for future in running:
        future.result()
    assert cpu_pool.is_busy


@pytest.mark.usefixtures("no_moment")
async def test_waiting_reservation_is_granted_once_a_cpu_thread_is_idle(
    cpu_pool: ActivityThreadPool, release: Event, running: list[Future[bool]]
) -> None:
    slots = QuerySlots(2, cpu_pool)
    assert slots.try_reserve_slot(_CONTEXT) is not None
    waiting = asyncio.create_task(slots.reserve_slot(_CONTEXT))
    await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    await asyncio.gather(*map(asyncio.wrap_future, running))
    await waiting
