"""The stages of an export, played: the order of things is what is looked at."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper
from temporalio.worker import Worker

from activities.interceptors import ActivityInterceptor
from stafett.domain.export_job import ExportJob, ExportOutcome, RecordFailureInput, StageResult
from stafett.domain.export_status import ExportStatus
from stafett.domain.notification import DeliveryRef, NotificationJob
from stafett.temporal.client import cpu_queue, start_job
from stafett.temporal.workers import run_workers
from workflows.bufdir_export import BufdirExport
from workflows.notifications import SendNotifications

STAGE_OF = {
    "query_activities": ExportStatus.QUERYING_ACTIVITIES,
    "map_columns": ExportStatus.MAPPING_COLUMNS,
    "generate_file": ExportStatus.GENERATING_FILE,
    "bundle_attachments": ExportStatus.BUNDLING_ATTACHMENTS,
    "store_file": ExportStatus.STORING_FILE,
}
WITHOUT_ATTACHMENTS = [name for name in STAGE_OF if name != "bundle_attachments"]


class PlayedStages:
    """Activities of the same names that write down that they were called, and fail when they are told to."""

    def __init__(self, rows: int = 2) -> None:
        self.rows = rows
        self.called: list[str] = []
        self.told: list[NotificationJob] = []
        self.faults: dict[str, Iterator[Exception]] = {}
        self.failing: RecordFailureInput | None = None
        self.end_of_cancel = ExportOutcome(status=ExportStatus.CANCELLED)
        self.end_elsewhere = ExportOutcome(status=ExportStatus.COMPLETED, row_count=7)

    def registered(self) -> list[Callable[..., Any]]:
        return [
            self.query_activities,
            self.map_columns,
            self.generate_file,
            self.bundle_attachments,
            self.store_file,
            self.record_completion,
            self.record_empty_completion,
            self.record_failure,
            self.record_cancellation,
            self.read_outcome,
            self.find_deliveries,
        ]

    def play(self, name: str) -> StageResult:
        self.called.append(name)
        if fault := next(self.faults.get(name, iter(())), None):
            raise fault
        return StageResult(stage=STAGE_OF.get(name, ExportStatus.RECORDING_AUDIT), rows=self.rows)

    @activity.defn
    async def query_activities(self, _job: ExportJob) -> StageResult:
        return self.play("query_activities")

    @activity.defn
    async def map_columns(self, _job: ExportJob) -> StageResult:
        return self.play("map_columns")

    @activity.defn
    async def generate_file(self, _job: ExportJob) -> StageResult:
        return self.play("generate_file")

    @activity.defn
    async def bundle_attachments(self, _job: ExportJob) -> StageResult:
        return self.play("bundle_attachments")

    @activity.defn
    async def store_file(self, _job: ExportJob) -> StageResult:
        return self.play("store_file")

    @activity.defn
    async def record_completion(self, _job: ExportJob) -> ExportOutcome:
        return ExportOutcome(status=ExportStatus.COMPLETED, row_count=self.play("record_completion").rows)

    @activity.defn
    async def record_empty_completion(self, _job: ExportJob) -> ExportOutcome:
        self.called.append("record_empty_completion")
        return ExportOutcome(status=ExportStatus.COMPLETED_EMPTY)

    @activity.defn
    async def record_failure(self, failing: RecordFailureInput) -> None:
        self.play("record_failure")
        self.failing = failing

    @activity.defn
    async def record_cancellation(self, _job: ExportJob) -> ExportOutcome:
        self.play("record_cancellation")
        return self.end_of_cancel

    @activity.defn
    async def read_outcome(self, _job: ExportJob) -> ExportOutcome:
        self.called.append("read_outcome")
        return self.end_elsewhere

    @activity.defn
    async def find_deliveries(self, telling: NotificationJob) -> tuple[DeliveryRef, ...]:
        self.told.append(telling)
        return ()


@asynccontextmanager
async def running(
    client: Client, job: ExportJob, stages: PlayedStages
) -> AsyncIterator[WorkflowHandle[Any, ExportOutcome]]:
    queue = f"test-{job.export_id}"
    working = partial(
        Worker,
        client,
        activities=stages.registered(),
        interceptors=[ActivityInterceptor()],
        max_heartbeat_throttle_interval=timedelta(milliseconds=50),
        default_heartbeat_throttle_interval=timedelta(milliseconds=50),
    )
    async with run_workers(
        working(task_queue=queue, workflows=[BufdirExport, SendNotifications]),
        working(task_queue=cpu_queue(queue)),
    ):
        started = await start_job(TimeSkipper(client).client, job, queue)
        yield client.get_workflow_handle(started.id, result_type=ExportOutcome)
