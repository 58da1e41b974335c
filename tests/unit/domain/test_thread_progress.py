"""The clock that distinguishes a slow thread from one that hangs."""

from datetime import timedelta

from stafett.domain.thread_progress import allow_silence, record_step, start_clock

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
