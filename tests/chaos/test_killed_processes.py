"""Processes are killed or frozen during an export; it completes once, without help."""

import asyncio
import shutil

import psycopg
import pytest

from stafett.domain.export_status import EXPORT_FINAL_STATUSES
from tests.chaos.fault_injection import Coordinator, assert_exported_completely_and_once
from tests.support.dev_stack import DevStack, freeze_processes, kill, wait_until_gone

_EMPTY_YEAR = 1999
_FREEZE_SECONDS = 20


async def test_export_completes_after_all_processes_are_killed(dev_stack: DevStack, coordinator: Coordinator) -> None:
    export_id = await coordinator.start_export()
    await coordinator.wait_until_in_progress(export_id)
    await dev_stack.kill_everything()
    await dev_stack.start()
    with psycopg.connect(dev_stack.database_url) as connection:
        restarted_at = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    job = await coordinator.wait_for_completion(export_id)
    assert job["status"] == "completed", job["error"]
    with psycopg.connect(dev_stack.database_url) as connection:
        completed_at = connection.execute("SELECT completed_at FROM exports WHERE id = %s", [export_id]).fetchone()
    assert restarted_at is not None
    assert completed_at is not None
    assert completed_at[0] > restarted_at[0]
    await assert_exported_completely_and_once(dev_stack, job)


@pytest.mark.parametrize(
    "name", ["postgres", "s3", *(pytest.param(name, marks=pytest.mark.soak) for name in ("temporal", "api"))]
)
async def test_export_completes_after_one_server_is_killed(
    dev_stack: DevStack, coordinator: Coordinator, name: str
) -> None:
    export_id = await coordinator.start_export()
    await coordinator.wait_until_in_progress(export_id)
    output_length, old_pid = len(await dev_stack.read_output()), dev_stack.stack_json["pids"][name]
    kill(old_pid)
    job = await coordinator.wait_for_completion(export_id)
    assert job["status"] == "completed", job["error"]
    await assert_exported_completely_and_once(dev_stack, job)
    assert dev_stack.stack_json["pids"][name] != old_pid
    assert name in (await dev_stack.read_output())[output_length:].lower()


async def test_export_waits_while_the_storage_is_frozen(dev_stack: DevStack, coordinator: Coordinator) -> None:
    export_id = await coordinator.start_export()
    await coordinator.wait_until_in_progress(export_id)
    with freeze_processes(dev_stack.stack_json["pids"]["s3"]):
        await asyncio.sleep(_FREEZE_SECONDS)  # the length of the fault, not a wait for a result
        assert (await coordinator.get_export(export_id))["status"] not in EXPORT_FINAL_STATUSES
    job = await coordinator.wait_for_completion(export_id)
    assert job["status"] == "completed", job["error"]
    await assert_exported_completely_and_once(dev_stack, job)


@pytest.mark.soak
async def test_export_completes_after_its_workers_are_killed(dev_stack: DevStack, coordinator: Coordinator) -> None:
    export_id = await coordinator.start_export()
    await coordinator.wait_until_in_progress(export_id)
    for pid in dev_stack.stack_json["pids"]["worker"]:
        kill(pid)
    job = await coordinator.wait_for_completion(export_id)
    assert job["status"] == "completed", job["error"]
    await assert_exported_completely_and_once(dev_stack, job)


async def test_export_requested_while_temporal_is_frozen_runs_afterwards(
    dev_stack: DevStack, coordinator: Coordinator
) -> None:
    with freeze_processes(dev_stack.stack_json["pids"]["temporal"]):
        export_id = await coordinator.start_export(_EMPTY_YEAR)
        assert (await coordinator.get_export(export_id))["status"] == "initialised"
    assert (await coordinator.wait_for_completion(export_id))["status"] == "completed_empty"


async def test_export_requested_when_temporal_was_just_killed_runs_afterwards(
    dev_stack: DevStack, coordinator: Coordinator
) -> None:
    kill(dev_stack.stack_json["pids"]["temporal"])
    export_id = await coordinator.start_export(_EMPTY_YEAR)
    assert (await coordinator.wait_for_completion(export_id))["status"] == "completed_empty"


async def test_export_stays_initialised_while_no_worker_runs(dev_stack: DevStack, coordinator: Coordinator) -> None:
    with freeze_processes(*dev_stack.stack_json["pids"]["worker"]):
        export_id = await coordinator.start_export(_EMPTY_YEAR)
        assert (await coordinator.get_export(export_id))["status"] == "initialised"
    assert (await coordinator.wait_for_completion(export_id))["status"] == "completed_empty"


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="only setpriv ends a child process with its parent")
async def test_killing_the_supervisor_ends_all_processes_it_started(
    dev_stack: DevStack, coordinator: Coordinator
) -> None:
    processes = dev_stack.processes()
    export_id = await coordinator.start_export()
    await coordinator.wait_until_in_progress(export_id)
    await dev_stack.kill_supervisor()
    await wait_until_gone(processes)
    await dev_stack.start()
    assert (await coordinator.wait_for_completion(export_id))["status"] == "completed"


@pytest.mark.soak
async def test_restart_after_a_killed_supervisor_ends_its_orphans(
    dev_stack: DevStack, coordinator: Coordinator
) -> None:
    processes = dev_stack.processes()
    export_id = await coordinator.start_export(_EMPTY_YEAR)
    await dev_stack.kill_supervisor()
    await dev_stack.start()
    await wait_until_gone(processes)
    assert (await coordinator.wait_for_completion(export_id))["status"] == "completed_empty"
