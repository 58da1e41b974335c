"""The steps of a re-export, played, around an export whose stages are played too."""

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
from stafett.temporal.client import cpu_queue, start_job
from stafett.temporal.workers import run_workers
from tests.workflows.played_stages import PlayedStages
from workflows.bufdir_export import BufdirExport
from workflows.notifications import SendNotifications
from workflows.report_reexport import ReportReexport

STEPS = ["load_history", "build_export_params", "store_reexport_result", "notify_reexport_complete"]
DONE = "record_reexport_completion"


class PlayedReexport:
    """Activities of the same names that write down that they were called, and fail when they are told to."""

    def __init__(self, export_id: UUID) -> None:
        self.export_id = export_id
        self.called: list[str] = []
        self.faults: dict[str, Iterator[Exception]] = {}
        self.failing: RecordReexportFailureInput | None = None
        self.end_of_failure = ReexportOutcome(status=ReexportStatus.FAILED)
        self.end_of_cancel = ReexportOutcome(status=ReexportStatus.CANCELLED)
        self.end_elsewhere = ReexportOutcome(status=ReexportStatus.FAILED)

    def registered(self) -> list[Callable[..., Any]]:
        return [
            self.load_history,
            self.build_export_params,
            self.store_reexport_result,
            self.notify_reexport_complete,
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
    async def load_history(self, job: ReexportJob) -> HistoricalRecord:
        await self.play("load_history")
        period = {"start": job.period_start, "end": job.period_end}
        parameters = ExportParameters.model_validate({"reporting_period": period, "export_format": "csv"})
        return HistoricalRecord(job=job, parameters=parameters, overrides=ReexportOverrides())

    @activity.defn
    async def build_export_params(self, record: HistoricalRecord) -> ExportJob:
        await self.play("build_export_params")
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
    async def notify_reexport_complete(self, _job: ReexportJob) -> None:
        await self.play("notify_reexport_complete")

    @activity.defn
    async def record_reexport_completion(self, _job: ReexportJob) -> ReexportOutcome:
        await self.play("record_reexport_completion")
        return ReexportOutcome(status=ReexportStatus.COMPLETED)

    @activity.defn
    async def record_reexport_failure(self, failing: RecordReexportFailureInput) -> ReexportOutcome:
        await self.play("record_reexport_failure")
        self.failing = failing
        return self.end_of_failure

    @activity.defn
    async def record_reexport_cancellation(self, _job: ReexportJob) -> ReexportOutcome:
        await self.play("record_reexport_cancellation")
        return self.end_of_cancel

    @activity.defn
    async def read_reexport_outcome(self, _job: ReexportJob) -> ReexportOutcome:
        await self.play("read_reexport_outcome")
        return self.end_elsewhere


@asynccontextmanager
async def reexporting(
    client: Client, job: ReexportJob, steps: PlayedReexport, stages: PlayedStages
) -> AsyncIterator[WorkflowHandle[Any, ReexportOutcome]]:
    queue = f"test-{job.reexport_id}"
    working = partial(
        Worker,
        client,
        activities=[*stages.registered(), *steps.registered()],
        interceptors=[ActivityInterceptor()],
        max_heartbeat_throttle_interval=timedelta(milliseconds=50),
        default_heartbeat_throttle_interval=timedelta(milliseconds=50),
    )
    async with run_workers(
        working(task_queue=queue, workflows=[ReportReexport, BufdirExport, SendNotifications]),
        working(task_queue=cpu_queue(queue)),
    ):
        started = await start_job(TimeSkipper(client).client, job, queue)
        run = client.get_workflow_handle(started.id, result_type=ReexportOutcome)
        yield run
        replayer = Replayer(workflows=[ReportReexport], data_converter=client.data_converter)
        await replayer.replay_workflow(await run.fetch_history())
