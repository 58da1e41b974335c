"""Health of a worker process: its event loop, its threads, and its polls of Temporal's task queues."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPException
from threading import Event, Lock
from typing import Literal

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stafett.monitoring.metrics import Metrics
from stafett.monitoring.server import MonitoringPage, Pages
from stafett.temporal.activity_threads import ActivityThreads
from stafett.temporal.sdk_runtime import ReadMetrics, count_polls

_LOOP_TIMEOUT = timedelta(seconds=2)
MAX_POLL_AGE = timedelta(minutes=3)
"""Temporal answers a poll without a task after a minute, and the SDK makes the next one at once."""

CheckState = Literal["ok", "hanging"]


class LastPoll:
    """When the number of polls that the SDK has made last changed, as far as the probes have seen."""

    def __init__(self, read_sdk_metrics: ReadMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_sdk_metrics = read_sdk_metrics
        self._clock = clock
        self._lock = Lock()
        self._count, self._changed_at = -1.0, clock()

    @property
    def is_recent(self) -> bool:
        with self._lock:
            with suppress(OSError, HTTPException):
                if (count := count_polls(self._read_sdk_metrics())) != self._count:
                    self._count, self._changed_at = count, self._clock()
            return self._clock() - self._changed_at <= MAX_POLL_AGE.total_seconds()


class WorkerHealth:
    """The answers to the probes of a worker. The server calls it in threads of its own."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, threads: ActivityThreads, read_sdk_metrics: ReadMetrics | None
    ) -> None:
        self._loop = loop
        self._threads = threads
        self._last_poll = LastPoll(read_sdk_metrics) if read_sdk_metrics else None
        self.is_ready = False
        """Whether the workers have been started and are not being stopped."""

    @property
    def pages(self) -> Pages:
        return {"/healthz": self.build_health_page, "/readyz": self.build_readiness_page}

    def build_health_page(self) -> MonitoringPage:
        """Report what hangs, with 503; a new process would help."""
        pools = {pool.name: _state(is_ok=not pool.is_hanging) for pool in self._threads.pools}
        loop = _state(is_ok=self._is_loop_running())
        polls = _state(is_ok=self._last_poll is None or self._last_poll.is_recent)
        is_healthy = "hanging" not in {loop, polls, *pools.values()}
        return _build_page({"event_loop": loop, "polls": polls, "threads": pools}, is_ok=is_healthy)

    def build_readiness_page(self) -> MonitoringPage:
        return _build_page({"status": "ready" if self.is_ready else "not_ready"}, is_ok=self.is_ready)

    def _is_loop_running(self) -> bool:
        has_run = Event()
        try:
            self._loop.call_soon_threadsafe(has_run.set)
        except RuntimeError:  # the loop is closed
            return False
        return has_run.wait(_LOOP_TIMEOUT.total_seconds())


class ThreadMetrics(Collector):
    """The threads of a worker's pools."""

    def __init__(self, threads: ActivityThreads) -> None:
        self._threads = threads

    def collect(self) -> Iterable[Metric]:
        size = _family("stafett_worker_threads", "Threads of a pool.")
        running = _family("stafett_worker_threads_running", "Threads that work, and tasks that wait for one.")
        hanging = _family("stafett_worker_threads_hanging", "Threads that make no progress.")
        for pool in self._threads.pools:
            size.add_metric([pool.name], pool.size)
            running.add_metric([pool.name], pool.running_count)
            hanging.add_metric([pool.name], max(pool.hanging_count, int(pool.is_hanging)))
        return size, running, hanging


@dataclass(frozen=True)
class WorkerMonitor:
    """The threads and the metrics that all workers of a process share."""

    threads: ActivityThreads = field(default_factory=ActivityThreads)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.metrics.initialise_worker_series()
        self.metrics.registry.register(ThreadMetrics(self.threads))


def _family(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=["pool"])


def _state(*, is_ok: bool) -> CheckState:
    return "ok" if is_ok else "hanging"


def _build_page(content: object, *, is_ok: bool) -> MonitoringPage:
    status = HTTPStatus.OK if is_ok else HTTPStatus.SERVICE_UNAVAILABLE
    return MonitoringPage(json.dumps(content).encode(), status=status)
