"""Seeded faults for as long as asked: `SOAK_MINUTES=60 SOAK_SEED=7 make soak`."""

import os
import time
from random import Random

import pytest

from tests.acceptance.dev_stack import DevStack, kill
from tests.chaos.endurance import Coordinator, assert_exported_once_and_right

_MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))
_SEED = int(os.environ.get("SOAK_SEED", "0"))
_KILLABLE = ("postgres", "temporal", "s3", "api", "worker")


@pytest.mark.soak
async def test_whatever_is_killed_in_whatever_order_every_export_ends_well(
    dev: DevStack, coordinator: Coordinator
) -> None:
    print(f"SOAK_SEED={_SEED} SOAK_MINUTES={_MINUTES:g}")  # noqa: T201 - pytest shows it if the test fails
    chance, until = Random(_SEED), time.monotonic() + 60 * _MINUTES  # noqa: S311 - a soak is repeated by its seed
    while time.monotonic() < until:
        export_id = await coordinator.press()
        await coordinator.in_the_middle_of(export_id)
        for name in chance.sample(_KILLABLE, chance.randint(1, len(_KILLABLE))):
            pids = dev.facts["pids"][name]
            for pid in pids if isinstance(pids, list) else [pids]:
                kill(pid)
        job = await coordinator.end_of(export_id)
        assert job["status"] == "completed", job["error"]
        await assert_exported_once_and_right(dev, job)
