"""Who waits for a core, and who goes first; on a real server, the stages played."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority
from temporalio.worker import Worker

from stafett.domain.export_job import ExportJob, StageResult
from stafett.temporal.client import cpu_queue, start_job
from stafett.temporal.workers import run_workers
from stafett.testing import wait_until
from tests.workflows.played_stages import PlayedStages
from workflows.bufdir_export import BufdirExport
from workflows.notifications import SendNotifications


class Told(PlayedStages):
    """Writes down where each stage was waiting, and in which turn."""

    def __init__(self, rows: int = 2) -> None:
        super().__init__(rows)
        self.waited: dict[str, tuple[str, Priority]] = {}

    def play(self, name: str) -> StageResult:
        info = activity.info()
        self.waited[name] = info.task_queue, info.priority
        return super().play(name)


@asynccontextmanager
async def light_work(client: Client, queue: str, stages: PlayedStages) -> AsyncIterator[None]:
    light = Worker(
        client, task_queue=queue, workflows=[BufdirExport, SendNotifications], activities=stages.registered()
    )
    async with run_workers(light):
        yield


@asynccontextmanager
async def one_core(client: Client, queue: str, stages: PlayedStages) -> AsyncIterator[None]:
    waiting = cpu_queue(queue)
    core = Worker(client, task_queue=waiting, activities=stages.registered(), max_concurrent_activities=1)
    async with run_workers(core):
        yield


@pytest.mark.parametrize(("rows", "turn"), [(1, 2), (10_000, 2), (10_001, 3), (100_000, 3), (100_001, 4)])
async def test_what_computes_waits_for_a_core_in_its_sizes_turn_and_the_rest_does_not(
    temporal: Client, job: ExportJob, rows: int, turn: int
) -> None:
    stages, queue = Told(rows), f"test-{job.export_id}"
    async with light_work(temporal, queue, stages), one_core(temporal, queue, stages):
        run = await start_job(temporal, job.model_copy(update={"include_attachments": True}), queue)
        await run.result()
    computing = {name for name, (where, _) in stages.waited.items() if where == cpu_queue(queue)}
    assert computing == {"map_columns", "generate_file", "bundle_attachments"}
    assert {stages.waited[name][1] for name in computing} == {Priority(priority_key=turn, fairness_key="nhf")}
    assert {where for name, (where, _) in stages.waited.items() if name not in computing} == {queue}


class Backlog:
    """Exports of several organisations whose first computation waits while there is no core for it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.queue = f"test-{uuid4().hex[:12]}"
        self.mapped: list[str] = []

    async def mapped_in_order(self, like: ExportJob, exports: Sequence[tuple[str, int]]) -> list[str]:
        """Begun in this order, each with so many rows; who was mapped in which order."""
        rows = {uuid4(): (org_id, count) for org_id, count in exports}
        mapped = self.mapped

        class Sized(PlayedStages):
            @activity.defn
            async def query_activities(self, job: ExportJob) -> StageResult:
                self.rows = rows[job.export_id][1]
                return self.play("query_activities")

            @activity.defn
            async def map_columns(self, job: ExportJob) -> StageResult:
                mapped.append(job.org_id)
                return self.play("map_columns")

        stages = Sized()
        async with light_work(self.client, self.queue, stages):
            runs = []
            for export_id, (org_id, _) in rows.items():
                job = like.model_copy(update={"export_id": export_id, "org_id": org_id})
                runs.append(await start_job(self.client, job, self.queue))
                await wait_until(partial(_next_of, runs[-1]), "map_columns".__eq__)
            await wait_until(self._waiting, len(runs).__eq__)
            async with one_core(self.client, self.queue, stages):
                await asyncio.gather(*(run.result() for run in runs))
        return mapped

    async def _waiting(self) -> int:
        """Temporal counts anew every five seconds."""
        asked = DescribeTaskQueueRequest(
            namespace=self.client.namespace,
            task_queue=TaskQueue(name=cpu_queue(self.queue)),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
        described = await self.client.workflow_service.describe_task_queue(asked, timeout=timedelta(seconds=5))
        return described.stats.approximate_backlog_count


async def _next_of(run: WorkflowHandle[Any, Any]) -> str:
    """What it waits for."""
    pending = (await run.describe()).raw_description.pending_activities
    return pending[0].activity_type.name if pending else ""


async def test_an_organisation_does_not_wait_for_all_that_another_has_begun(temporal: Client, job: ExportJob) -> None:
    order = await Backlog(temporal).mapped_in_order(job, [("nhf", 300)] * 10 + [("hlf", 300)] * 2)
    assert sorted(order) == ["hlf"] * 2 + ["nhf"] * 10
    assert order[:6].count("hlf") == 2


async def test_a_month_does_not_wait_for_anybodys_decade(temporal: Client, job: ExportJob) -> None:
    decades, years = [("nhf", 2_000_000)] * 3 + [("hlf", 300_000)] * 2, [("ffo", 40_000)] * 2
    order = await Backlog(temporal).mapped_in_order(job, decades + years + [("blindeforbundet", 900)])
    assert order[:3] == ["blindeforbundet", "ffo", "ffo"]
