"""CPU task queue and priorities of the stages, on a real server with fake stages."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from stafett.domain.export_job import ExportJob, StageResult
from stafett.temporal.client import start_job
from stafett.temporal.queues import cpu_queue, outcome_queue, query_queue
from stafett.temporal.workers import run_workers
from stafett.testing import wait_until
from tests.support.fake_stages import FakeStages
from workflows import policies
from workflows.bufdir_export import BufdirExport
from workflows.notifications import SendNotifications

if TYPE_CHECKING:
    from temporalio.common import Priority


class RecordingStages(FakeStages):
    """Record the task queue and the priority of each stage."""

    def __init__(self, rows: int = 2) -> None:
        super().__init__(rows)
        self.scheduled: dict[str, tuple[str, Priority]] = {}

    def play(self, name: str) -> StageResult:
        info = activity.info()
        self.scheduled[name] = info.task_queue, info.priority
        return super().play(name)


@asynccontextmanager
async def run_io_worker(
    client: Client, queue: str, stages: FakeStages, runner: WorkflowRunner | None = None
) -> AsyncIterator[None]:
    build_worker = partial(
        Worker, client, activities=stages.activities(), workflow_runner=runner or SandboxedWorkflowRunner()
    )
    async with run_workers(
        build_worker(task_queue=queue, workflows=[BufdirExport, SendNotifications]),
        build_worker(task_queue=query_queue(queue)),
        build_worker(task_queue=outcome_queue(queue)),
    ):
        yield


@asynccontextmanager
async def run_single_cpu_worker(client: Client, queue: str, stages: FakeStages) -> AsyncIterator[None]:
    worker = Worker(client, task_queue=cpu_queue(queue), activities=stages.activities(), max_concurrent_activities=1)
    async with run_workers(worker):
        yield


@pytest.mark.parametrize(
    ("rows", "first", "late"), [(1, 2, 1), (10_000, 2, 1), (10_001, 4, 3), (100_000, 4, 3), (100_001, 5, 4)]
)
async def test_priority_is_by_size_and_higher_for_late_stages(
    temporal: Client, job: ExportJob, rows: int, first: int, late: int
) -> None:
    stages, queue = RecordingStages(rows), f"test-{job.export_id}"
    async with run_io_worker(temporal, queue, stages), run_single_cpu_worker(temporal, queue, stages):
        run = await start_job(temporal, job.model_copy(update={"include_attachments": True}), queue)
        await run.result()
    by_stage = {name: priority.priority_key for name, (_, priority) in stages.scheduled.items()}
    assert by_stage.pop("record_completion") == 3
    late_stages = dict.fromkeys(("generate_file", "bundle_attachments", "store_file"), late)
    assert by_stage == {"query_activities": 3, "map_columns": first, **late_stages}
    queued = [
        priority for task_queue, priority in stages.scheduled.values() if task_queue != queue
    ]  # others start eagerly
    assert {priority.fairness_key for priority in queued} == {"nhf"}


async def test_work_and_outcomes_have_task_queues_of_their_own(temporal: Client, job: ExportJob) -> None:
    stages, queue = RecordingStages(), f"test-{job.export_id}"
    async with run_io_worker(temporal, queue, stages), run_single_cpu_worker(temporal, queue, stages):
        run = await start_job(temporal, job.model_copy(update={"include_attachments": True}), queue)
        await run.result()
    assert {name: task_queue for name, (task_queue, _) in stages.scheduled.items()} == {
        "query_activities": query_queue(queue),
        "map_columns": cpu_queue(queue),
        "generate_file": cpu_queue(queue),
        "bundle_attachments": cpu_queue(queue),
        "store_file": queue,
        "record_completion": outcome_queue(queue),
    }


async def list_scheduled_priorities(run: WorkflowHandle[Any, Any], activity_name: str) -> list[int]:
    """List the priorities with which the workflow has scheduled the activity so far."""
    scheduled = [
        event.activity_task_scheduled_event_attributes
        for event in (await run.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    return [
        attributes.priority.priority_key for attributes in scheduled if attributes.activity_type.name == activity_name
    ]


async def test_priority_of_waiting_export_rises_with_its_age(
    temporal: Client, job: ExportJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "AGEING_INTERVAL", timedelta(seconds=1))
    stages, queue = FakeStages(rows=2_000_000), f"test-{job.export_id}"
    runner = UnsandboxedWorkflowRunner()  # the sandbox would import another copy of the interval
    async with run_io_worker(temporal, queue, stages, runner):
        run = await start_job(temporal, job, queue)
        list_priorities = partial(list_scheduled_priorities, run, "map_columns")
        priorities = await wait_until(list_priorities, lambda scheduled: scheduled[-1:] == [1])
        async with run_single_cpu_worker(temporal, queue, stages):
            assert (await run.result())["status"] == "completed"
    assert priorities == sorted(set(priorities), reverse=True)
    assert len(priorities) > 1


class Backlog:
    """Exports of several organisations whose first CPU stage waits until a CPU worker is started."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.queue = f"test-{uuid4().hex[:12]}"
        self.mapped: list[str] = []

    async def map_all(self, template: ExportJob, exports: Sequence[tuple[str, int]]) -> list[str]:
        """Start exports of (organisation, rows) in this order; return the organisations in the order of mapping."""
        rows = {uuid4(): (org_id, count) for org_id, count in exports}
        mapped = self.mapped

        class SizedStages(FakeStages):
            @activity.defn
            async def query_activities(self, job: ExportJob) -> StageResult:
                self.rows = rows[job.export_id][1]
                return self.play("query_activities")

            @activity.defn
            async def map_columns(self, job: ExportJob) -> StageResult:
                mapped.append(job.org_id)
                return self.play("map_columns")

        stages = SizedStages()
        async with run_io_worker(self.client, self.queue, stages):
            runs = []
            for export_id, (org_id, _) in rows.items():
                job = template.model_copy(update={"export_id": export_id, "org_id": org_id})
                runs.append(await start_job(self.client, job, self.queue))
                await wait_until(partial(_pending_activity, runs[-1]), "map_columns".__eq__)
            await wait_until(self._count_waiting, len(runs).__eq__)
            async with run_single_cpu_worker(self.client, self.queue, stages):
                await asyncio.gather(*(run.result() for run in runs))
        return mapped

    async def _count_waiting(self) -> int:
        """Count the waiting activities. Temporal updates the number every five seconds."""
        request = DescribeTaskQueueRequest(
            namespace=self.client.namespace,
            task_queue=TaskQueue(name=cpu_queue(self.queue)),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
        description = await self.client.workflow_service.describe_task_queue(request, timeout=timedelta(seconds=5))
        return description.stats.approximate_backlog_count


async def _pending_activity(run: WorkflowHandle[Any, Any]) -> str:
    """Return the name of the activity that the workflow waits for."""
    pending = (await run.describe()).raw_description.pending_activities
    return pending[0].activity_type.name if pending else ""


async def test_exports_of_one_organisation_do_not_hold_up_another(temporal: Client, job: ExportJob) -> None:
    order = await Backlog(temporal).map_all(job, [("nhf", 300)] * 10 + [("hlf", 300)] * 2)
    assert sorted(order) == ["hlf"] * 2 + ["nhf"] * 10
    assert order[:6].count("hlf") == 2


async def test_small_export_is_mapped_before_larger_ones(temporal: Client, job: ExportJob) -> None:
    decades, years = [("nhf", 2_000_000)] * 3 + [("hlf", 300_000)] * 2, [("ffo", 40_000)] * 2
    order = await Backlog(temporal).map_all(job, decades + years + [("blindeforbundet", 900)])
    assert order[:3] == ["blindeforbundet", "ffo", "ffo"]
