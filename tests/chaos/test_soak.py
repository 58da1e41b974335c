"""Random faults with a seed, for a given time: `SOAK_MINUTES=60 SOAK_SEED=7 make soak`."""

import os
import time
from random import Random

import pytest

from tests.chaos.fault_injection import Coordinator, assert_exported_completely_and_once
from tests.support.dev_stack import DevStack, kill

_MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))
_SEED = int(os.environ.get("SOAK_SEED", "0"))
_PROCESSES = ("postgres", "temporal", "s3", "api", "worker")


@pytest.mark.soak
async def test_exports_complete_after_random_processes_are_killed(
    dev_stack: DevStack, coordinator: Coordinator
) -> None:
    print(f"SOAK_SEED={_SEED} SOAK_MINUTES={_MINUTES:g}")  # noqa: T201 - pytest shows it if the test fails
    random, deadline = Random(_SEED), time.monotonic() + 60 * _MINUTES  # noqa: S311 - a seed makes the run repeatable
    while time.monotonic() < deadline:
        export_id = await coordinator.start_export()
        await coordinator.wait_until_in_progress(export_id)
        for name in random.sample(_PROCESSES, random.randint(1, len(_PROCESSES))):
            pids = dev_stack.stack_json["pids"][name]
            for pid in pids if isinstance(pids, list) else [pids]:
                kill(pid)
        job = await coordinator.wait_for_completion(export_id)
        assert job["status"] == "completed", job["error"]
        await assert_exported_completely_and_once(dev_stack, job)
