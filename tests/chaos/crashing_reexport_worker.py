"""A worker that kills itself in one step of a re-export.

Run it with `python -m tests.chaos.crashing_reexport_worker QUEUE STEP POINT`.
"""

import asyncio
import os
import signal
import sys
from typing import Any

from stafett.reports import steps
from stafett.reports.completion import ReexportCompletion
from stafett.reports.steps import ReexportSteps
from tests.chaos.crashing_worker import run_worker

STEPS = (
    "load_original_parameters",
    "insert_child_export",
    "store_result",
    "enqueue_completion_notifications",
    "complete",
)
CRASH_POINTS = ("before", "after")
"""Before the step has changed anything; after its commit, before Temporal has the result."""
BEFORE_COMMIT_OF_VERSION = "add_version"
"""The function after which the new version is inserted and not yet committed."""


def crash_at(step: str, point: str) -> None:
    owner: Any = {"complete": ReexportCompletion, BEFORE_COMMIT_OF_VERSION: steps}.get(step, ReexportSteps)
    method = getattr(owner, step)

    def crash(*args: Any) -> Any:
        if point == "after":
            method(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, step, crash)


if __name__ == "__main__":
    crash_at(sys.argv[2], sys.argv[3])
    asyncio.run(run_worker(sys.argv[1]))
