"""Isolation of a stage that may have crashed its worker: it runs while no other stage runs in the process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from stafett.progress import record_step

_CHECK_INTERVAL_SECONDS = 0.5


class StageIsolation:
    """A lock that stages share, and that a suspected stage has alone; one that waits comes before new ones."""

    def __init__(self, raise_if_cancelled: Callable[[], None]) -> None:
        self._raise_if_cancelled = raise_if_cancelled
        self._changed = Condition()
        self._shared_count = 0
        self._waiting_count = 0
        self._is_isolated = False

    @contextmanager
    def share(self) -> Iterator[None]:
        """Run beside other stages."""
        with self._changed:
            self._wait_while(lambda: self._is_isolated or self._waiting_count > 0)
            self._shared_count += 1
        try:
            yield
        finally:
            with self._changed:
                self._shared_count -= 1
                self._changed.notify_all()

    @contextmanager
    def isolate(self) -> Iterator[None]:
        """Run while no other stage does."""
        with self._changed:
            self._waiting_count += 1
            try:
                self._wait_while(lambda: self._is_isolated or self._shared_count > 0)
                self._is_isolated = True
            finally:
                self._waiting_count -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_isolated = False
                self._changed.notify_all()

    def _wait_while(self, is_blocked: Callable[[], bool]) -> None:
        """Wait for the other stages. Waiting counts as progress: a stage that hangs is ended by its own clock."""
        while is_blocked():
            self._raise_if_cancelled()
            record_step()
            self._changed.wait(_CHECK_INTERVAL_SECONDS)
