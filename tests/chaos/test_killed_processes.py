"""Whatever dies in the middle of an export, the export ends well, by itself and once."""

import asyncio
import shutil

import psycopg
import pytest

from stafett.domain.export_status import EXPORT_FINAL_STATUSES
from tests.acceptance.dev_stack import DevStack, all_gone, frozen, kill
from tests.chaos.endurance import Coordinator, assert_exported_once_and_right

_EMPTY_YEAR = 1999
_SILENT_SECONDS = 20


async def test_an_export_outlives_the_death_of_every_process(dev: DevStack, coordinator: Coordinator) -> None:
    export_id = await coordinator.press()
    await coordinator.in_the_middle_of(export_id)
    await dev.kill_everything()
    await dev.start()
    with psycopg.connect(dev.database_url) as connection:
        restarted_at = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    job = await coordinator.end_of(export_id)
    assert job["status"] == "completed", job["error"]
    with psycopg.connect(dev.database_url) as connection:
        ended_at = connection.execute("SELECT completed_at FROM exports WHERE id = %s", [export_id]).fetchone()
    assert restarted_at is not None
    assert ended_at is not None
    assert ended_at[0] > restarted_at[0]
    await assert_exported_once_and_right(dev, job)


@pytest.mark.parametrize("name", ["postgres", "temporal", "s3", pytest.param("api", marks=pytest.mark.soak)])
async def test_an_export_outlives_the_death_of_one_server(dev: DevStack, coordinator: Coordinator, name: str) -> None:
    export_id = await coordinator.press()
    await coordinator.in_the_middle_of(export_id)
    said, old = len(await dev.said()), dev.facts["pids"][name]
    kill(old)
    job = await coordinator.end_of(export_id)
    assert job["status"] == "completed", job["error"]
    await assert_exported_once_and_right(dev, job)
    assert dev.facts["pids"][name] != old
    assert name in (await dev.said())[said:].lower()


async def test_an_export_waits_for_a_storage_that_is_silent_for_a_while(
    dev: DevStack, coordinator: Coordinator
) -> None:
    export_id = await coordinator.press()
    await coordinator.in_the_middle_of(export_id)
    with frozen(dev.facts["pids"]["s3"]):
        await asyncio.sleep(_SILENT_SECONDS)  # the fault itself: nothing is waited for
        assert (await coordinator.look(export_id))["status"] not in EXPORT_FINAL_STATUSES
    job = await coordinator.end_of(export_id)
    assert job["status"] == "completed", job["error"]
    await assert_exported_once_and_right(dev, job)


@pytest.mark.soak
async def test_an_export_outlives_the_death_of_its_worker(dev: DevStack, coordinator: Coordinator) -> None:
    export_id = await coordinator.press()
    await coordinator.in_the_middle_of(export_id)
    for pid in dev.facts["pids"]["worker"]:
        kill(pid)
    job = await coordinator.end_of(export_id)
    assert job["status"] == "completed", job["error"]
    await assert_exported_once_and_right(dev, job)


async def test_a_job_is_accepted_while_temporal_is_frozen_and_runs_afterwards(
    dev: DevStack, coordinator: Coordinator
) -> None:
    with frozen(dev.facts["pids"]["temporal"]):
        export_id = await coordinator.press(_EMPTY_YEAR)
        assert (await coordinator.look(export_id))["status"] == "initialised"
    assert (await coordinator.end_of(export_id))["status"] == "completed_empty"


async def test_a_job_is_accepted_the_moment_temporal_died_and_runs_afterwards(
    dev: DevStack, coordinator: Coordinator
) -> None:
    kill(dev.facts["pids"]["temporal"])
    export_id = await coordinator.press(_EMPTY_YEAR)
    assert (await coordinator.end_of(export_id))["status"] == "completed_empty"


async def test_a_job_waits_in_its_first_state_while_no_worker_works(dev: DevStack, coordinator: Coordinator) -> None:
    with frozen(*dev.facts["pids"]["worker"]):
        export_id = await coordinator.press(_EMPTY_YEAR)
        assert (await coordinator.look(export_id))["status"] == "initialised"
    assert (await coordinator.end_of(export_id))["status"] == "completed_empty"


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="only setpriv ties a child's life to ours")
async def test_whatever_a_stack_started_ends_with_it_when_it_alone_is_killed(
    dev: DevStack, coordinator: Coordinator
) -> None:
    family = dev.family()
    export_id = await coordinator.press()
    await coordinator.in_the_middle_of(export_id)
    await dev.kill_supervisor()
    await all_gone(family, within=5)
    await dev.start()
    assert (await coordinator.end_of(export_id))["status"] == "completed"


@pytest.mark.soak
async def test_a_stack_whose_supervisor_was_killed_starts_again_without_its_orphans(
    dev: DevStack, coordinator: Coordinator
) -> None:
    family = dev.family()
    export_id = await coordinator.press(_EMPTY_YEAR)
    await dev.kill_supervisor()
    await dev.start()
    await all_gone(family, within=0)
    assert (await coordinator.end_of(export_id))["status"] == "completed_empty"
