"""A rollout under load: API processes and workers are restarted one after the other, and no user notices."""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.rolling_restarts import BalancedStack, restart_until, run_replicas
from tests.chaos.soak_checks import check_everything, settle
from tests.chaos.soak_load import Load, seed_years
from tests.support.bulk import create_mentors
from tests.support.dev_stack import Tokens, run_dev_stack

_MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))
_SECONDS_BETWEEN_RESTARTS = 5
_MENTORS_PER_BATCH = 200


@pytest.mark.soak
async def test_restarts_one_after_the_other_fail_no_job_and_no_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = Counter[str]()
    async with run_dev_stack(tmp_path / "data") as own_stack, run_replicas(own_stack) as (replicas, balancer):
        stack = BalancedStack(own_stack, balancer)
        await seed_years(own_stack)
        tokens = await Tokens.from_stack(own_stack)
        headers = tokens.create_headers(tokens.claims["sub"], "nhf", "coordinator")
        load = Load(stack, headers, create_mentors(own_stack.database_url, "nhf", _MENTORS_PER_BATCH), seed=0)
        deadline = time.monotonic() + 60 * _MINUTES
        async with asyncio.TaskGroup() as tasks:
            for of_kind in replicas.values():
                tasks.create_task(restart_until(deadline, of_kind, _SECONDS_BETWEEN_RESTARTS, balancer, counts))
            tasks.create_task(load.run_until(deadline))
        await settle(load)
        figures = await check_everything(own_stack, load)
    with capsys.disabled():
        for name, count in sorted({**counts, **balancer.counts, **load.counts, **figures}.items()):
            print(f"{count:8} {name}")  # noqa: T201 - the figures of the run
    assert balancer.violations == []
    assert [name for name in load.counts if "failed" in name] == []
