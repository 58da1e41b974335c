"""Fake steps of a re-export, around an export with fake stages."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper
from temporalio.worker import Replayer, Worker

from activities.interceptors import ActivityInterceptor
from stafett.domain.export import ExportOrigin, ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.reexport import ReexportOverrides
from stafett.domain.reexport_job import HistoricalRecord, RecordReexportFailureInput, ReexportJob, ReexportOutcome
from stafett.domain.reexport_status import ReexportStatus
from stafett.temporal.client import start_job
from stafett.temporal.queues import cpu_queue, outcome_queue, query_queue
from stafett.temporal.workers import run_workers
from tests.support.fake_stages import FakeStages
from workflows.bufdir_export import BufdirExport
from workflows.notifications import SendNotifications
from workflows.report_reexport import ReportReexport

STEPS = ["load_original_parameters", "insert_child_export", "store_reexport_result", "enqueue_reexport_notifications"]
COMPLETION = "record_reexport_completion"


class FakeReexportSteps:
    """Activities with the product's names that record each call and raise the faults a test has set."""

    def __init__(self, export_id: UUID) -> None:
        self.export_id = export_id
        self.called: list[str] = []
        self.faults: dict[str, Iterator[Exception]] = {}
        self.recorded_failure: RecordReexportFailureInput | None = None
        self.failure_outcome = ReexportOutcome(status=ReexportStatus.FAILED)
        self.cancel_outcome = ReexportOutcome(status=ReexportStatus.CANCELLED)
        self.stored_outcome = ReexportOutcome(status=ReexportStatus.FAILED)

    def activities(self) -> list[Callable[..., Any]]:
        return [
            self.load_original_parameters,
            self.insert_child_export,
            self.store_reexport_result,
            self.enqueue_reexport_notifications,
            self.record_reexport_completion,
            self.record_reexport_failure,
            self.record_reexport_cancellation,
            self.read_reexport_outcome,
        ]

    async def play(self, name: str) -> None:
        self.called.append(name)
        if fault := next(self.faults.get(name, iter(())), None):
            raise fault

    @activity.defn
    async def load_original_parameters(self, job: ReexportJob) -> HistoricalRecord:
        await self.play("load_original_parameters")
        period = {"start": job.period_start, "end": job.period_end}
        parameters = ExportParameters.model_validate({"reporting_period": period, "export_format": "csv"})
        return HistoricalRecord(job=job, parameters=parameters, overrides=ReexportOverrides())

    @activity.defn
    async def insert_child_export(self, record: HistoricalRecord) -> ExportJob:
        await self.play("insert_child_export")
        job = record.job
        return ExportJob(
            export_id=self.export_id,
            org_id=job.org_id,
            attempt=1,
            period_start=job.period_start,
            period_end=job.period_end,
            origin=ExportOrigin.REEXPORT,
        )

    @activity.defn
    async def store_reexport_result(self, _job: ReexportJob) -> None:
        await self.play("store_reexport_result")

    @activity.defn
    async def enqueue_reexport_notifications(self, _job: ReexportJob) -> None:
        await self.play("enqueue_reexport_notifications")

    @activity.defn
    async def record_reexport_completion(self, _job: ReexportJob) -> ReexportOutcome:
        await self.play("record_reexport_completion")
        return ReexportOutcome(status=ReexportStatus.COMPLETED)

    @activity.defn
    async def record_reexport_failure(self, failure: RecordReexportFailureInput) -> ReexportOutcome:
        await self.play("record_reexport_failure")
        self.recorded_failure = failure
        return self.failure_outcome

    @activity.defn
    async def record_reexport_cancellation(self, _job: ReexportJob) -> ReexportOutcome:
        await self.play("record_reexport_cancellation")
        return self.cancel_outcome

    @activity.defn
    async def read_reexport_outcome(self, _job: ReexportJob) -> ReexportOutcome:
        await self.play("read_reexport_outcome")
        return self.stored_outcome


@asynccontextmanager
async def run_reexport(
    client: Client, job: ReexportJob, steps: FakeReexportSteps, stages: FakeStages
) -> AsyncIterator[WorkflowHandle[Any, ReexportOutcome]]:
    queue = f"test-{job.reexport_id}"
    build_worker = partial(
        Worker,
        client,
        activities=[*stages.activities(), *steps.activities()],
        interceptors=[ActivityInterceptor()],
        max_heartbeat_throttle_interval=timedelta(milliseconds=50),
        default_heartbeat_throttle_interval=timedelta(milliseconds=50),
    )
    async with run_workers(
        build_worker(task_queue=queue, workflows=[ReportReexport, BufdirExport, SendNotifications]),
        build_worker(task_queue=query_queue(queue)),
        build_worker(task_queue=cpu_queue(queue)),
        build_worker(task_queue=outcome_queue(queue)),
    ):
        handle = await start_job(TimeSkipper(client).client, job, queue)
        run = client.get_workflow_handle(handle.id, result_type=ReexportOutcome)
        yield run
        replayer = Replayer(workflows=[ReportReexport], data_converter=client.data_converter)
        await replayer.replay_workflow(await run.fetch_history())
