"""A worker that kills itself at one point of one stage of an export.

Run it with `python -m tests.chaos.crashing_worker QUEUE STAGE POINT`. It is the real worker with one method wrapped;
its settings come from the environment.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

import worker
from stafett.domain.export_status import ExportStatus
from stafett.exports.completion import ExportCompletion
from stafett.exports.mapped_parts import MappedPartStore
from stafett.exports.stage_store import StageStore
from stafett.exports.stages import query_activities
from stafett.settings import Settings
from stafett.temporal.client import connect
from tests.chaos.short_timeouts import shorten_heartbeat_timeout

CRASH_POINTS = ("started", "uncommitted", "committed")
"""After the start is committed; with the objects stored, before the commit; after the commit, before the response."""
AFTER_FIRST_PART = "first_part_stored"
"""In `mapping_columns`: the first of several parts is stored."""


def crash_at(stage: ExportStatus, point: str) -> None:
    if point == AFTER_FIRST_PART:
        crash_after_first_part()
        return
    is_last = stage is ExportStatus.RECORDING_AUDIT
    start: Any = StageStore.start_final_stage if is_last else StageStore.start_stage
    finish: Any = ExportCompletion.complete if is_last else StageStore.finish_stage
    method = start if point == "started" else finish
    owner = ExportCompletion if method is ExportCompletion.complete else StageStore

    def crash(instance: Any, *args: Any, **options: Any) -> Any:
        crashes_here = stage in args or owner is ExportCompletion
        if crashes_here and point == "uncommitted":
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(instance, *args, **options)
        if crashes_here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method.__name__, crash)


def crash_after_first_part() -> None:
    """Crash when the first mapped part is stored; there is a part for every day."""
    store = MappedPartStore.store

    def crash_after_store(parts: MappedPartStore, *args: Any) -> None:
        store(parts, *args)
        os.kill(os.getpid(), signal.SIGKILL)

    query_activities.ROWS_PER_PART = 1
    setattr(MappedPartStore, "store", crash_after_store)  # noqa: B010 - mypy rejects the assignment


async def run_worker(queue: str) -> None:
    settings = Settings.load()
    shorten_heartbeat_timeout(pytest.MonkeyPatch())
    async with worker.run_queue_workers(await connect(settings.temporal), settings, queue):
        await asyncio.Event().wait()


if __name__ == "__main__":
    crash_at(ExportStatus(sys.argv[2]), sys.argv[3])
    asyncio.run(run_worker(sys.argv[1]))
