"""The single button: query, map, generate, bundle if asked for, store, record."""

from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.activity_query import ActivityQueryActivities
    from activities.attachment_bundling import AttachmentBundlingActivities
    from activities.column_mapping import ColumnMappingActivities
    from activities.export_audit import ExportAuditActivities
    from activities.file_generation import FileGenerationActivities
    from activities.file_storage import FileStorageActivities
    from stafett.domain.export_job import STALE_ATTEMPT, ExportEnd, ExportFailing, ExportJob, ExportProgress
    from stafett.domain.export_status import FAILURE_OF, ExportErrorCode, ExportStatus
    from stafett.domain.job import JobKind
    from stafett.temporal import JOB_STATUS
    from workflows.policies import patiently

Answer = TypeVar("Answer")


@workflow.defn(name=JobKind.BUFDIR_EXPORT.value)
class BufdirExport:
    """One attempt at one export; what it knows is in PostgreSQL and S3, here is only the order of things."""

    @workflow.init
    def __init__(self, job: ExportJob) -> None:
        self._job = job
        self._stage = ExportStatus.INITIALISED

    @workflow.run
    async def run(self, job: ExportJob) -> ExportEnd:
        try:
            end = await self._export(job)
        except ActivityError as error:
            if _is_stale(error):
                end = await patiently(ExportAuditActivities.read_end, job, "somebody else ended it")
                self._show(end.status)
                return end
            await patiently(ExportAuditActivities.record_failure, self._failing(error), "say why it failed")
            self._show(ExportStatus.FAILED)
            raise
        self._show(end.status)
        return end

    async def _export(self, job: ExportJob) -> ExportEnd:
        queried = await self._at(ExportStatus.QUERYING_ACTIVITIES, ActivityQueryActivities.query_activities)
        if queried.rows == 0:
            return await patiently(ExportAuditActivities.record_empty, job, "nothing to report")
        rows = queried.rows
        await self._at(ExportStatus.MAPPING_COLUMNS, ColumnMappingActivities.map_columns, rows)
        await self._at(ExportStatus.GENERATING_FILE, FileGenerationActivities.generate_file, rows)
        if job.include_attachments:
            await self._at(ExportStatus.BUNDLING_ATTACHMENTS, AttachmentBundlingActivities.bundle_attachments, rows)
        await self._at(ExportStatus.STORING_FILE, FileStorageActivities.store_file)
        return await self._at(ExportStatus.RECORDING_AUDIT, ExportAuditActivities.record_completion)

    @workflow.query
    def progress(self) -> ExportProgress:
        """The stage now running; rows are counted in PostgreSQL."""
        return ExportProgress(stage=self._stage, attempt=self._job.attempt)

    async def _at(
        self, stage: ExportStatus, method: Callable[[Any, ExportJob], Answer], rows: int | None = None
    ) -> Answer:
        self._show(stage)
        return await patiently(method, self._job, stage.replace("_", " "), rows=rows)

    def _show(self, stage: ExportStatus) -> None:
        self._stage = stage
        workflow.upsert_search_attributes([JOB_STATUS.value_set(stage)])
        workflow.set_current_details(f"{stage.replace('_', ' ')} (attempt {self._job.attempt})")

    def _failing(self, error: ActivityError) -> ExportFailing:
        """A foreseen failure by its own code; any other by the stage that it happened in."""
        match error.cause:
            case ApplicationError(type=code, message=message, details=details) if code in set(ExportErrorCode):
                retryable = bool(details and details[0])
                return ExportFailing(job=self._job, code=ExportErrorCode(code), message=message, retryable=retryable)
            case _:
                code = FAILURE_OF.get(self._stage, ExportErrorCode.INTERNAL)
                message = f"The export could not go on after {self._stage.replace('_', ' ')}; it can be tried again."
                return ExportFailing(job=self._job, code=code, message=message, retryable=True)


def _is_stale(error: ActivityError) -> bool:
    return isinstance(error.cause, ApplicationError) and error.cause.type == STALE_ATTEMPT
