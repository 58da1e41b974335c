"""A suspected stage runs alone in its process."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest

from stafett.domain.errors import WorkCancelledError
from stafett.domain.thread_progress import ProgressClock, start_clock
from stafett.exports.stage_isolation import StageIsolation


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as threads:
        yield threads


class Stage:
    """A stage that runs, with or beside others, until it is released."""

    def __init__(self, isolation: StageIsolation, *, alone: bool = False) -> None:
        self._block = isolation.isolate if alone else isolation.share
        self.started, self.released = Event(), Event()
        self.clock = ProgressClock()

    def run(self) -> None:
        self.clock = start_clock(timedelta(seconds=45))
        with self._block():
            self.started.set()
            self.released.wait()


def test_stages_share_the_process(threads: ThreadPoolExecutor) -> None:
    isolation = StageIsolation(lambda: None)
    stages = [Stage(isolation) for _ in range(2)]
    running = [threads.submit(stage.run) for stage in stages]
    for stage in stages:
        stage.started.wait()
    for stage in stages:
        stage.released.set()
    for run in running:
        run.result()


def test_suspected_stage_waits_for_the_others_and_is_next(threads: ThreadPoolExecutor) -> None:
    waits = Event()
    isolation = StageIsolation(waits.set)
    first, suspected, last = Stage(isolation), Stage(isolation, alone=True), Stage(isolation)
    running = [threads.submit(first.run)]
    first.started.wait()
    running.append(threads.submit(suspected.run))
    waits.wait()
    running.append(threads.submit(last.run))
    assert not suspected.started.is_set()
    first.released.set()
    suspected.started.wait()
    assert not last.started.is_set()
    suspected.released.set()
    last.started.wait()
    last.released.set()
    for run in running:
        run.result()


def test_cancelled_suspect_no_longer_blocks_the_others(threads: ThreadPoolExecutor) -> None:
    def cancel() -> None:
        raise WorkCancelledError

    isolation = StageIsolation(cancel)
    first, suspected, last = Stage(isolation), Stage(isolation, alone=True), Stage(isolation)
    running = threads.submit(first.run)
    first.started.wait()
    with pytest.raises(WorkCancelledError):
        threads.submit(suspected.run).result()
    first.released.set()
    last.released.set()
    threads.submit(last.run).result()
    running.result()


@pytest.mark.parametrize(("first_alone", "next_alone"), [(True, False), (True, True), (False, True)])
def test_abandoned_stage_no_longer_blocks_the_others(
    threads: ThreadPoolExecutor, *, first_alone: bool, next_alone: bool
) -> None:
    isolation = StageIsolation(lambda: None)
    hanging, following = Stage(isolation, alone=first_alone), Stage(isolation, alone=next_alone)
    running = [threads.submit(hanging.run)]
    hanging.started.wait()
    hanging.clock.is_abandoned = True
    running.append(threads.submit(following.run))
    following.started.wait()
    for stage in (hanging, following):
        stage.released.set()
    for run in running:
        run.result()
