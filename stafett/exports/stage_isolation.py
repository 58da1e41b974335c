"""Isolation of a stage that may have crashed its worker: it runs while no other stage runs in the process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from stafett.domain.thread_progress import ProgressClock, get_clock, record_step

_CHECK_INTERVAL_SECONDS = 0.5


class StageIsolation:
    """A lock that stages share, and that a suspected stage has alone; one that waits comes before new ones.

    A stage whose thread hangs and was abandoned no longer holds it.
    """

    def __init__(self, raise_if_cancelled: Callable[[], None]) -> None:
        self._raise_if_cancelled = raise_if_cancelled
        self._changed = Condition()
        self._sharing: list[ProgressClock] = []
        self._waiting_count = 0
        self._isolated: ProgressClock | None = None

    @contextmanager
    def share(self) -> Iterator[None]:
        """Run beside other stages."""
        clock = get_clock()
        with self._changed:
            self._wait_while(lambda: self._is_isolated() or self._waiting_count > 0)
            self._sharing.append(clock)
        try:
            yield
        finally:
            with self._changed:
                self._sharing.remove(clock)
                self._changed.notify_all()

    @contextmanager
    def isolate(self) -> Iterator[None]:
        """Run while no other stage does."""
        clock = get_clock()
        with self._changed:
            self._waiting_count += 1
            try:
                self._wait_while(lambda: self._is_isolated() or self._is_shared())
                self._isolated = clock
            finally:
                self._waiting_count -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                if self._isolated is clock:  # otherwise it was abandoned, and another stage runs alone by now
                    self._isolated = None
                self._changed.notify_all()

    def _is_isolated(self) -> bool:
        return self._isolated is not None and not self._isolated.is_abandoned

    def _is_shared(self) -> bool:
        return any(not clock.is_abandoned for clock in self._sharing)

    def _wait_while(self, is_blocked: Callable[[], bool]) -> None:
        """Wait for the other stages. Waiting counts as progress: a stage that hangs is ended by its own clock."""
        while is_blocked():
            self._raise_if_cancelled()
            record_step()
            self._changed.wait(_CHECK_INTERVAL_SECONDS)
