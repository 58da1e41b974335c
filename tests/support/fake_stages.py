"""Fake stages of an export, for tests of the order in which the workflow runs them."""

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
from stafett.temporal.client import start_job
from stafett.temporal.queues import cpu_queue, outcome_queue, query_queue
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


class FakeStages:
    """Activities with the product's names that record each call and raise the faults a test has set."""

    def __init__(self, rows: int = 2) -> None:
        self.rows = rows
        self.called: list[str] = []
        self.notification_jobs: list[NotificationJob] = []
        self.has_deliveries = True
        self.faults: dict[str, Iterator[Exception]] = {}
        self.recorded_failure: RecordFailureInput | None = None
        self.cancel_outcome = ExportOutcome(status=ExportStatus.CANCELLED)
        self.stored_outcome = ExportOutcome(status=ExportStatus.COMPLETED, row_count=7)

    def activities(self) -> list[Callable[..., Any]]:
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
        row_count = self.play("record_completion").rows
        return ExportOutcome(status=ExportStatus.COMPLETED, row_count=row_count, has_deliveries=self.has_deliveries)

    @activity.defn
    async def record_empty_completion(self, _job: ExportJob) -> ExportOutcome:
        self.called.append("record_empty_completion")
        return ExportOutcome(status=ExportStatus.COMPLETED_EMPTY)

    @activity.defn
    async def record_failure(self, failure: RecordFailureInput) -> ExportOutcome:
        self.play("record_failure")
        self.recorded_failure = failure
        return ExportOutcome(status=ExportStatus.FAILED, has_deliveries=self.has_deliveries)

    @activity.defn
    async def record_cancellation(self, _job: ExportJob) -> ExportOutcome:
        self.play("record_cancellation")
        return self.cancel_outcome

    @activity.defn
    async def read_outcome(self, _job: ExportJob) -> ExportOutcome:
        self.called.append("read_outcome")
        return self.stored_outcome

    @activity.defn
    async def find_deliveries(self, job: NotificationJob) -> tuple[DeliveryRef, ...]:
        self.notification_jobs.append(job)
        return ()


@asynccontextmanager
async def run_export(
    client: Client, job: ExportJob, stages: FakeStages
) -> AsyncIterator[WorkflowHandle[Any, ExportOutcome]]:
    queue = f"test-{job.export_id}"
    build_worker = partial(
        Worker,
        client,
        activities=stages.activities(),
        interceptors=[ActivityInterceptor()],
        max_heartbeat_throttle_interval=timedelta(milliseconds=50),
        default_heartbeat_throttle_interval=timedelta(milliseconds=50),
    )
    async with run_workers(
        build_worker(task_queue=queue, workflows=[BufdirExport, SendNotifications]),
        build_worker(task_queue=query_queue(queue)),
        build_worker(task_queue=cpu_queue(queue)),
        build_worker(task_queue=outcome_queue(queue)),
    ):
        handle = await start_job(TimeSkipper(client).client, job, queue)
        yield client.get_workflow_handle(handle.id, result_type=ExportOutcome)
