"""A worker that kills itself at one step of a re-export: `python -m tests.chaos.dying_coordinator QUEUE STEP POINT`."""

import asyncio
import os
import signal
import sys
from typing import Any

from stafett.reports import steps as reexport_stages
from stafett.reports.completion import ReexportCompletion
from stafett.reports.steps import ReexportSteps
from tests.chaos.dying_worker import main

STEPS = ("load_history", "build_export_params", "store_result", "notify_complete", "complete")
POINTS = ("before", "after")
"""The step is begun, and nothing of it is done; it is committed, and nobody knows of it."""
WITHIN = "add_version"
"""The new version is written, and not committed."""


def prepare(step: str, point: str) -> None:
    owner: Any = {"complete": ReexportCompletion, WITHIN: reexport_stages}.get(step, ReexportSteps)
    method = getattr(owner, step)

    def watched(*given: Any) -> Any:
        if point == "after":
            method(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, step, watched)


if __name__ == "__main__":
    prepare(sys.argv[2], sys.argv[3])
    asyncio.run(main(sys.argv[1]))
