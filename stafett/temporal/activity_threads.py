"""Threads of a worker's activities: those that hang are abandoned, replaced and counted."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Thread
from typing import Any

import structlog

from stafett.domain.thread_progress import MAX_SILENCE, ProgressClock

MAX_SILENCE_AFTER_CANCEL = timedelta(seconds=3)
"""How long a cancelled activity may report no progress before its thread is abandoned."""

_CHECK_INTERVAL = timedelta(seconds=1)
_EXIT_TIMEOUT = timedelta(seconds=1)
_MIN_HANGING_THREADS = 2
_IDLE_AFTER = timedelta(milliseconds=500)
_log = structlog.get_logger("stafett.worker")


class ActivityThreadPool(ThreadPoolExecutor):
    """Thread pool of one task queue. An abandoned thread is replaced, so that its slot remains usable."""

    def __init__(
        self,
        size: int,
        name: str,
        max_silence: timedelta,
        max_silence_after_cancel: timedelta,
        max_task_time: timedelta | None = None,
    ) -> None:
        super().__init__(size, name)
        self.size = size
        self.name = name
        self.max_silence = max_silence
        self.max_silence_after_cancel = max_silence_after_cancel
        self._max_task_time = max_task_time
        self._abandoned: set[ProgressClock] = set()
        self._submitted_at: dict[Future[Any], float] = {}
        self._busy_at = float("-inf")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self._submitted_at[future] = time.monotonic()
        future.add_done_callback(self._remove_running)
        return future

    def _remove_running(self, future: Future[Any]) -> None:
        if self._do_all_threads_work:
            self._busy_at = time.monotonic()
        self._submitted_at.pop(future, None)

    @property
    def running_count(self) -> int:
        """The number of tasks that run or wait for a thread."""
        return len(self._submitted_at)

    @property
    def is_hanging(self) -> bool:
        """Whether a thread makes no progress, or a task has not ended within the time that its pool allows."""
        if self.hanging_count:
            return True
        earliest = min(self._submitted_at.copy().values(), default=None)
        return (
            self._max_task_time is not None
            and earliest is not None
            and time.monotonic() - earliest > self._max_task_time.total_seconds()
        )

    @property
    def _do_all_threads_work(self) -> bool:
        return len(self._submitted_at) >= self._max_workers

    @property
    def is_busy(self) -> bool:
        """Whether all threads work, or did a moment ago: between two activities, a thread waits for the next one."""
        return self._do_all_threads_work or time.monotonic() - self._busy_at < _IDLE_AFTER.total_seconds()

    @property
    def leaked_count(self) -> int:
        """The number of abandoned threads that have not returned."""
        return len(self._abandoned)

    @property
    def hanging_count(self) -> int:
        """The number of abandoned threads that have made no progress for longer than they may."""
        return sum(clock.hangs for clock in self._abandoned)

    @property
    def is_exhausted(self) -> bool:
        """Whether so many threads hang that only a new process helps: half of them, and more than one."""
        return self.hanging_count >= max(_MIN_HANGING_THREADS, self.size // 2)

    def abandon(self, clock: ProgressClock) -> None:
        """Count the thread as leaked, and allow the pool another one in its place."""
        clock.is_abandoned = True
        self._abandoned.add(clock)
        self._max_workers += 1

    def mark_returned(self, clock: ProgressClock) -> None:
        """Uncount an abandoned thread whose work has ended after all."""
        self._abandoned.discard(clock)
        self._max_workers -= 1

    def add_time(self, elapsed: timedelta) -> None:
        for clock in self._abandoned:
            clock.add_time(elapsed)

    def list_threads(self) -> Sequence[Thread]:
        return [thread for thread in self._threads if thread.is_alive()]


class ActivityThreads:
    """The thread pools of a worker process, with the limits that apply to them."""

    def __init__(
        self, *, max_silence: timedelta = MAX_SILENCE, max_silence_after_cancel: timedelta = MAX_SILENCE_AFTER_CANCEL
    ) -> None:
        self._limits = max_silence, max_silence_after_cancel
        self._pools: list[ActivityThreadPool] = []

    @property
    def leaked_count(self) -> int:
        return sum(pool.leaked_count for pool in self._pools)

    @property
    def pools(self) -> Sequence[ActivityThreadPool]:
        return tuple(self._pools)

    @contextmanager
    def open_pool(
        self, size: int, name: str, *, max_task_time: timedelta | None = None
    ) -> Iterator[ActivityThreadPool]:
        """Open a thread pool for the length of a block, whose end does not wait for threads that hang.

        Only tasks without a progress clock have a ``max_task_time``, after which their thread counts as hanging.
        """
        pool = ActivityThreadPool(size, name, *self._limits, max_task_time)
        self._pools.append(pool)
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            deadline = time.monotonic() + _EXIT_TIMEOUT.total_seconds()
            for thread in pool.list_threads():
                thread.join(max(0.0, deadline - time.monotonic()))

    async def wait_until_exhausted_or(self, stopping: asyncio.Event) -> None:
        """Return when the process is to stop, or so many threads hang that its supervisor should start a new one."""
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _CHECK_INTERVAL.total_seconds())
            for pool in self._pools:
                pool.add_time(_CHECK_INTERVAL)
            if any(pool.is_exhausted for pool in self._pools):
                _log.error("too_many_threads_hang", threads=self.leaked_count)
                return

    def exit_if_threads_hang(self) -> None:
        """End the process at once if threads are still running, because the interpreter would wait for them."""
        hanging = sum(len(pool.list_threads()) for pool in self._pools)
        if hanging:
            _log.error("worker_stopped_with_hanging_threads", threads=hanging)
            sys.stderr.flush()
            os._exit(1)
