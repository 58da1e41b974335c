"""A worker that kills itself at one point of one stage: `python -m tests.chaos.dying_worker QUEUE STAGE POINT`.

What dies is the product's own worker, its calls merely watched; the environment says which stack it works for.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import worker
from stafett.domain.export_status import ExportStatus
from stafett.exports.completion import ExportCompletion
from stafett.exports.mapped_parts import MappedPartStore
from stafett.exports.stage_store import StageStore
from stafett.exports.stages import query_activities
from stafett.settings import Settings
from stafett.temporal.client import connect

POINTS = ("begun", "done", "committed")
"""The stage was entered; its objects are there, and their commit is not; it is committed, and nobody knows of it."""
BETWEEN_PARTS = "kept"
"""Of mapping: its first part is kept, and there are others."""


def prepare(stage: ExportStatus, point: str) -> None:
    if point == BETWEEN_PARTS:
        prepare_between_parts()
        return
    is_last = stage is ExportStatus.RECORDING_AUDIT
    owner: Any = ExportCompletion if is_last and point != "begun" else StageStore
    ends, begins = ("complete", "enter") if is_last else ("finish", "begin")
    name = begins if point == "begun" else ends
    method = getattr(owner, name)

    def watched(record: Any, *given: Any) -> Any:
        is_watched = stage in given or name == "complete"
        if is_watched and point == "done":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = method(record, *given)
        if is_watched:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, watched)


def prepare_between_parts() -> None:
    """With a part for every day."""
    keep = MappedPartStore.store

    def watched(parts: MappedPartStore, *given: Any) -> None:
        keep(parts, *given)
        os.kill(os.getpid(), signal.SIGKILL)

    query_activities.ROWS_PER_PART = 1
    setattr(MappedPartStore, "store", watched)  # noqa: B010 - a type checker rightly refuses the assignment


async def main(queue: str) -> None:
    settings = Settings.load()
    async with worker.run_queue_workers(await connect(settings.temporal), settings, queue):
        await asyncio.Event().wait()


if __name__ == "__main__":
    prepare(ExportStatus(sys.argv[2]), sys.argv[3])
    asyncio.run(main(sys.argv[1]))
