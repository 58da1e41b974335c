"""Random kills and freezes under load, with a seed, for a given time: `SOAK_MINUTES=60 SOAK_SEED=7 make soak`."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.fault_injection import Coordinator
from tests.chaos.soak_checks import check_everything, settle
from tests.chaos.soak_faults import FaultInjector, run_second_worker
from tests.chaos.soak_load import Load, seed_years
from tests.support.bulk import create_mentors
from tests.support.dev_stack import DevStack, Tokens, run_dev_stack

_MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))
_SEED = int(os.environ.get("SOAK_SEED", "0"))
_MENTORS_PER_BATCH = 700
_LAST_JOBS_SECONDS = 30
"""The users continue for this long after the last fault."""


@pytest_asyncio.fixture(loop_scope="session")
async def soak_stack(tmp_path: Path) -> AsyncIterator[DevStack]:
    """A stack whose jobs are those of the test, so that a job too many is noticed."""
    async with run_dev_stack(tmp_path / "data") as stack:
        await seed_years(stack)
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def soak_coordinator(soak_stack: DevStack) -> Coordinator:
    tokens = await Tokens.from_stack(soak_stack)
    return Coordinator(soak_stack, tokens.create_headers(tokens.claims["sub"], "nhf", "coordinator"))


@pytest.mark.soak
async def test_nothing_is_lost_doubled_stuck_or_deleted_by_kills_and_freezes(
    soak_stack: DevStack, soak_coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nSOAK_SEED={_SEED} SOAK_MINUTES={_MINUTES:g}")  # noqa: T201 - the seed repeats a failed run
    mentors = create_mentors(soak_stack.database_url, "nhf", _MENTORS_PER_BATCH)
    load = Load(soak_stack, soak_coordinator.headers, mentors, _SEED)
    async with run_second_worker(soak_stack) as second_worker:
        faults = FaultInjector(soak_stack, second_worker, _SEED)
        deadline = time.monotonic() + 60 * _MINUTES
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(faults.run_until(deadline))
            tasks.create_task(load.run_until(deadline + _LAST_JOBS_SECONDS))
        await settle(load)
        figures = await check_everything(soak_stack, load)
    with capsys.disabled():
        for name, count in sorted({**faults.counts, **load.counts, **figures}.items()):
            print(f"{count:8} {name}")  # noqa: T201 - the figures of the run
        print(f"SOAK_SEED={_SEED} SOAK_MINUTES={_MINUTES:g}")  # noqa: T201 - the same
