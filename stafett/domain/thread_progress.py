"""Progress of the thread that runs an activity, which distinguishes a long call from one that hangs."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from datetime import timedelta
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_SILENCE = timedelta(seconds=45)
"""How long a thread may report no progress. ADR 25 has the longest time that was measured."""


class ProgressClock:
    """Progress of one activity: its thread counts steps, and the event loop measures the time without a step.

    Only time in which the event loop runs is measured, so that a pause of the whole process is not taken for a thread
    that hangs.
    """

    def __init__(self, max_silence: timedelta = MAX_SILENCE) -> None:
        self.max_silence = max_silence
        self.steps = 0
        self.is_abandoned = False
        self._seen_steps = 0
        self._silence = timedelta()

    @property
    def silence(self) -> timedelta:
        return self._silence

    @property
    def hangs(self) -> bool:
        return self._silence > self.max_silence

    def add_time(self, elapsed: timedelta) -> None:
        """Add time that has passed; a step since the last call sets the silence to zero."""
        self._silence = timedelta() if self.steps != self._seen_steps else self._silence + elapsed
        self._seen_steps = self.steps


_current_clock: ContextVar[ProgressClock | None] = ContextVar("progress_clock", default=None)


def start_clock(max_silence: timedelta) -> ProgressClock:
    """Start the clock of an activity, in the context that its thread inherits."""
    clock = ProgressClock(max_silence)
    _current_clock.set(clock)
    return clock


def get_clock() -> ProgressClock:
    """Return the clock of the current activity; outside an activity, one of its own."""
    return _current_clock.get() or ProgressClock()


def is_abandoned() -> bool:
    """Return whether the worker no longer waits for this thread."""
    clock = _current_clock.get()
    return clock is not None and clock.is_abandoned


def record_step() -> None:
    """Record progress of the current activity, if there is one. Called with each statement and each block of bytes."""
    clock = _current_clock.get()
    if clock is not None:
        clock.steps += 1


@contextmanager
def allow_silence(duration: timedelta) -> Iterator[None]:
    """Declare that the block may take this long without a step."""
    clock = _current_clock.get()
    if clock is None or duration <= clock.max_silence:
        yield
        return
    earlier, clock.max_silence = clock.max_silence, duration
    try:
        yield
    finally:
        clock.steps += 1
        clock.max_silence = earlier


def map_concurrently(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield the results in order; one is computed in another thread while the previous one is used.

    The next item is read meanwhile, too. The other thread reports progress to the clock of the current activity.
    """
    pool = ThreadPoolExecutor(1, "concurrent-map")
    running: Future[Result] | None = None
    try:
        for item in items:
            previous, running = running, pool.submit(copy_context().run, function, item)
            if previous is not None:
                yield previous.result()
        if running is not None:
            yield running.result()
    finally:
        pool.shutdown(cancel_futures=True)
