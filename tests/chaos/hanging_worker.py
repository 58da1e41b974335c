"""A worker whose query stage hangs, or waits until a file exists.

Run it with `python -m tests.chaos.hanging_worker QUEUE [FILE]`. It is the real worker with one method replaced; its
settings come from the environment.
"""

import asyncio
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

import worker
from stafett.domain.thread_progress import record_step
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.monitoring.logs import configure_logging
from stafett.settings import Settings
from stafett.temporal.sdk_runtime import configure_runtime

HANGING = "query_stage_hangs"
_POLL_INTERVAL_SECONDS = 0.05


def hang(_stage: ActivityQueryStage, *_args: Any) -> None:
    report_hanging()
    Event().wait()


def report_hanging() -> None:
    sys.stdout.write(f"{HANGING}\n")
    sys.stdout.flush()


def wait_for(file: Path) -> None:
    query = ActivityQueryStage.__call__

    def query_after_wait(stage: ActivityQueryStage, *args: Any) -> Any:
        report_hanging()
        while not file.exists():
            record_step()
            time.sleep(_POLL_INTERVAL_SECONDS)
        return query(stage, *args)

    setattr(ActivityQueryStage, "__call__", query_after_wait)  # noqa: B010 - mypy rejects the assignment


if __name__ == "__main__":
    settings = Settings.load()
    configure_logging(settings.log)
    configure_runtime(has_metrics=False)
    if len(sys.argv) > 2:
        wait_for(Path(sys.argv[2]))
    else:
        setattr(ActivityQueryStage, "__call__", hang)  # noqa: B010 - mypy rejects the assignment
    asyncio.run(worker.serve(settings, sys.argv[1]))
