"""Schedules come back after they were deleted, and follow the task queue; what an operator has set stays."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
)
from temporalio.client import ScheduleActionStartWorkflow as StartWorkflow
from temporalio.service import RPCError, RPCStatusCode

from stafett.temporal.client import SWEEP_JOBS
from stafett.temporal.namespace import (
    SWEEP_SCHEDULE_ID,
    VERIFICATION_SCHEDULE_ID,
    AuditIntervals,
    ensure_schedules,
    keep_namespace_ensured,
)
from stafett.testing import ExportClient, wait_until

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
SCHEDULE_IDS = (SWEEP_SCHEDULE_ID, "apply-retention", VERIFICATION_SCHEDULE_ID)
AUDIT_INTERVALS = AuditIntervals(verification=timedelta(days=7), checkpoint=None)


@pytest.fixture(autouse=True)
async def without_schedules(temporal: Client) -> AsyncIterator[None]:
    """Start and end without schedules, which all tests share."""
    await delete_schedules(temporal)
    yield
    await delete_schedules(temporal)


async def delete_schedules(temporal: Client) -> None:
    for schedule_id in SCHEDULE_IDS:
        try:
            await temporal.get_schedule_handle(schedule_id).delete()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


async def find_schedule(temporal: Client, schedule_id: str) -> Schedule | None:
    try:
        return (await temporal.get_schedule_handle(schedule_id).describe()).schedule
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def test_deleted_schedules_are_created_again_at_intervals(temporal: Client) -> None:
    queue = f"test-{uuid4().hex[:12]}"
    async with keep_namespace_ensured(temporal, queue, AUDIT_INTERVALS, every=timedelta(milliseconds=100)):
        await delete_schedules(temporal)
        for schedule_id in SCHEDULE_IDS:
            assert await wait_until(partial(find_schedule, temporal, schedule_id), bool)


async def test_schedules_move_to_a_renamed_task_queue_and_keep_what_an_operator_has_set(temporal: Client) -> None:
    old, new = (f"test-{uuid4().hex[:12]}" for _ in range(2))
    await ensure_schedules(temporal, old)
    handle, interval = temporal.get_schedule_handle(SWEEP_SCHEDULE_ID), [ScheduleIntervalSpec(every=timedelta(hours=3))]

    def set_interval(current: ScheduleUpdateInput) -> ScheduleUpdate:
        current.description.schedule.spec.intervals = interval
        return ScheduleUpdate(current.description.schedule)

    await handle.update(set_interval)
    await handle.pause(note="by an operator")
    await ensure_schedules(temporal, new)
    schedule = await find_schedule(temporal, SWEEP_SCHEDULE_ID)
    assert schedule is not None
    assert isinstance(schedule.action, StartWorkflow)
    assert schedule.action.task_queue == new
    assert (list(schedule.spec.intervals), schedule.state.paused) == (interval, True)
    assert (await handle.describe()).info.num_actions == 0  # a paused schedule is not triggered either


async def test_run_that_waits_on_the_old_task_queue_is_terminated(temporal: Client) -> None:
    old, new = (f"test-{uuid4().hex[:12]}" for _ in range(2))
    await ensure_schedules(temporal, old)
    handle = temporal.get_schedule_handle("apply-retention")
    await handle.trigger()

    async def list_running() -> list[str]:
        running = (await handle.describe()).info.running_actions
        return [each.workflow_id for each in running if isinstance(each, ScheduleActionExecutionStartWorkflow)]

    (workflow_id,) = await wait_until(list_running, bool)
    await ensure_schedules(temporal, new)
    run = await temporal.get_workflow_handle(workflow_id).describe()
    assert (run.task_queue, run.status) == (old, WorkflowExecutionStatus.TERMINATED)


async def test_documented_view_hides_maintenance_runs(temporal: Client, export_client: ExportClient) -> None:
    documented = re.search(r'workflow list --address ADDRESS --query "([^"]+)"', OPERATIONS.read_text())
    assert documented is not None
    sweep_id, job_id = f"sweep-{uuid4()}", f"bufdir-export/{await export_client.start_export()}"
    sweep = await temporal.start_workflow(SWEEP_JOBS, id=sweep_id, task_queue=f"nowhere-{uuid4()}")

    async def list_ids(query: str) -> list[str]:
        return sorted([run.id async for run in temporal.list_workflows(query)])

    both = f"WorkflowId IN ('{sweep_id}', '{job_id}')"
    await wait_until(lambda: list_ids(both), lambda ids: len(ids) == 2)
    assert await list_ids(f"{both} AND {documented[1]}") == [job_id]
    await sweep.terminate()
