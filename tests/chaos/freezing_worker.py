"""A worker that suspends itself once, at one point of an export, and continues when it is resumed.

Run it with `python -m tests.chaos.freezing_worker QUEUE STAGE POINT`. It is the real worker with one method wrapped;
its settings come from the environment. SIGTERM ends it after the activities that it still runs.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest
from sqlalchemy import Engine, event

import worker
from stafett.domain.export_status import ExportStatus
from stafett.exports.completion import ExportCompletion
from stafett.exports.stage_store import StageStore
from stafett.settings import Settings
from stafett.temporal.client import connect
from tests.chaos.short_timeouts import shorten_heartbeat_timeout

FREEZE_POINTS = ("started", "uncommitted", "committed")
"""After the start is committed; with the objects stored, before the commit; after the commit, before the response."""
LOCKED = "locked"
"""Within the transaction that commits a stage, which has locked the export's row and inserted the outputs."""
BEFORE_DELETION = "before_deletion"
"""In `cancelling`: the attempt is checked, and nothing is deleted yet."""


def freeze_at(stage: ExportStatus, point: str) -> None:
    if stage is ExportStatus.CANCELLING:
        _suspend_once(ExportCompletion, "begin_cancel", stage=None, is_before=False)
    elif point == LOCKED:
        _suspend_after_outputs_are_inserted(stage)
    else:
        name = "start_stage" if point == "started" else "finish_stage"
        _suspend_once(StageStore, name, stage=stage, is_before=point == "uncommitted")


def _suspend_once(owner: Any, name: str, *, stage: ExportStatus | None, is_before: bool) -> None:
    method, suspended = getattr(owner, name), list[int]()

    def suspend_once(instance: Any, *args: Any, **options: Any) -> Any:
        is_here = stage is None or stage in args
        if is_here and is_before:
            _suspend(suspended)
        result = method(instance, *args, **options)
        if is_here and not is_before:
            _suspend(suspended)
        return result

    setattr(owner, name, suspend_once)


def _suspend_after_outputs_are_inserted(stage: ExportStatus) -> None:
    suspended = list[int]()

    @event.listens_for(Engine, "after_cursor_execute")
    def suspend_after_insert(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "INSERT INTO export_stage_outputs" in statement and stage in parameters.values():
            _suspend(suspended)


def _suspend(suspended: list[int]) -> None:
    if not suspended:
        suspended.append(os.getpid())
        os.kill(os.getpid(), signal.SIGSTOP)


async def run_worker(queue: str) -> None:
    settings, stopping = Settings.load(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with worker.run_queue_workers(await connect(settings.temporal), settings, queue):
        await stopping.wait()


if __name__ == "__main__":
    freeze_at(ExportStatus(sys.argv[2]), sys.argv[3])
    shorten_heartbeat_timeout(pytest.MonkeyPatch())
    asyncio.run(run_worker(sys.argv[1]))
