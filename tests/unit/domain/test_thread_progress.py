"""The clock that distinguishes a slow thread from one that hangs."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest

from stafett.domain.thread_progress import allow_silence, map_concurrently, record_step, start_clock

TIMEOUT_SECONDS = 30
SECOND = timedelta(seconds=1)


def test_clock_without_steps_hangs_after_its_limit() -> None:
    clock = start_clock(2 * SECOND)
    for _ in range(2):
        clock.add_time(SECOND)
    assert not clock.hangs
    clock.add_time(SECOND)
    assert clock.hangs


def test_step_sets_the_silence_to_zero() -> None:
    clock = start_clock(2 * SECOND)
    clock.add_time(2 * SECOND)
    record_step()
    clock.add_time(2 * SECOND)
    assert clock.silence == timedelta()


def test_declared_silence_applies_to_its_block_only() -> None:
    clock = start_clock(2 * SECOND)
    with allow_silence(5 * SECOND):
        clock.add_time(4 * SECOND)
        assert not clock.hangs
    clock.add_time(SECOND)
    assert clock.silence == timedelta()
    clock.add_time(3 * SECOND)
    assert clock.hangs


def test_declared_silence_never_shortens_the_limit() -> None:
    clock = start_clock(5 * SECOND)
    with allow_silence(SECOND):
        clock.add_time(4 * SECOND)
        assert not clock.hangs


def test_concurrent_map_computes_while_the_next_item_is_read() -> None:
    computing, read = Event(), Event()

    def iterate_items() -> Iterator[int]:
        yield 1
        assert computing.wait(TIMEOUT_SECONDS)  # the first result is not requested yet
        read.set()
        yield 2

    def double(item: int) -> int:
        computing.set()
        assert read.wait(TIMEOUT_SECONDS)
        return 2 * item

    assert list(map_concurrently(double, iterate_items())) == [2, 4]


def test_concurrent_map_computes_while_the_result_is_used() -> None:
    second_computed = Event()

    def double(item: int) -> int:
        if item == 2:
            second_computed.set()
        return 2 * item

    results = map_concurrently(double, [1, 2, 3])
    assert next(results) == 2
    assert second_computed.wait(TIMEOUT_SECONDS)
    assert list(results) == [4, 6]


def test_concurrent_map_reports_progress_to_the_clock_of_the_activity() -> None:
    clock = start_clock(SECOND)
    assert list(map_concurrently(lambda _item: record_step(), [1, 2])) == [None, None]
    assert clock.steps == 2


def test_concurrent_map_raises_the_error_of_an_item_after_earlier_results() -> None:
    results = map_concurrently(lambda item: 1 // item, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
