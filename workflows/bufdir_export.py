"""The single button: query, map, generate, bundle if asked for, store, record."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.exports import (
        ActivityQueryActivities,
        AttachmentBundlingActivities,
        ColumnMappingActivities,
        ExportAuditActivities,
        FileGenerationActivities,
        FileStorageActivities,
    )
    from stafett.domain.export import ExportOrigin
    from stafett.domain.export_job import (
        ExportJob,
        ExportOutcome,
        ExportProgress,
        RecordFailureInput,
        StageResult,
    )
    from stafett.domain.export_status import ERROR_CODE_BY_STAGE, ExportErrorCode, ExportStatus
    from stafett.domain.job import JobKind
    from stafett.temporal.client import JOB_STATUS
    from workflows.cancellation import Stoppable, is_stale
    from workflows.notifications import tell_of_end
    from workflows.policies import patiently, to_its_end
    from workflows.run_details import details_of

Answer = TypeVar("Answer")


@workflow.defn(name=JobKind.BUFDIR_EXPORT.value)
class BufdirExport(Stoppable[ExportOutcome]):
    """One attempt at one export; what it knows is in PostgreSQL and S3, here is only the order of things."""

    @workflow.init
    def __init__(self, job: ExportJob) -> None:
        self._job = job
        self._stage = ExportStatus.INITIALISED
        self._done: list[StageResult] = []

    @workflow.run
    async def run(self, job: ExportJob) -> ExportOutcome:
        try:
            end = await self._worked(self._export(job))
        except (ActivityError, asyncio.CancelledError) as error:
            end = await to_its_end(self._ended_early(job, error))
        self._show(end.status)
        await to_its_end(self._tell(job))
        if end.status is ExportStatus.CANCELLED:
            self._close_as_asked()
        return end

    @workflow.query
    def progress(self) -> ExportProgress:
        """The stage now running; rows are counted in PostgreSQL."""
        return ExportProgress(stage=self._stage, attempt=self._job.attempt)

    async def _export(self, job: ExportJob) -> ExportOutcome:
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

    async def _ended_early(self, job: ExportJob, error: BaseException) -> ExportOutcome:
        """Cancelled, by us or behind our back; ended by somebody else; or failed, and then raised on."""
        if not self._stops:
            if not is_stale(error) and await self._failed(error):
                self._show(ExportStatus.FAILED)
                await self._tell(job)
                raise error
            end = await patiently(ExportAuditActivities.read_end, job, "somebody else ended it")
            if end.status is not ExportStatus.CANCELLING:
                return end
        self._show(ExportStatus.CANCELLING)
        return await patiently(ExportAuditActivities.record_cancellation, job, "stop, and leave nothing behind")

    async def _failed(self, error: BaseException) -> bool:
        """Say why; false if it is not for us to say, because somebody else has ended it or wants it stopped."""
        try:
            await patiently(ExportAuditActivities.record_failure, self._failing(error), "say why it failed")
        except ActivityError as late:
            if not is_stale(late):
                raise
            return False
        return True

    async def _tell(self, job: ExportJob) -> None:
        """Of what is made for a re-export, that tells."""
        if job.origin is ExportOrigin.REPORT:
            await tell_of_end(job)

    async def _at(
        self, stage: ExportStatus, method: Callable[[Any, ExportJob], Answer], rows: int | None = None
    ) -> Answer:
        self._go_on()
        self._show(stage)
        answer = await patiently(method, self._job, stage.replace("_", " "), rows=rows)
        if isinstance(answer, StageResult):
            self._done.append(answer)
        return answer

    def _show(self, stage: ExportStatus) -> None:
        self._stage = stage
        workflow.upsert_search_attributes([JOB_STATUS.value_set(stage)])
        workflow.set_current_details(details_of(self._job, stage, self._done, workflow.info().namespace))

    def _failing(self, error: BaseException) -> RecordFailureInput:
        """A foreseen failure by its own code; any other by the stage that it happened in."""
        match error.__cause__:
            case ApplicationError(type=code, message=message, details=details) if code in set(ExportErrorCode):
                retryable = bool(details and details[0])
                return RecordFailureInput(
                    job=self._job, code=ExportErrorCode(code), message=message, retryable=retryable
                )
            case _:
                code = ERROR_CODE_BY_STAGE.get(self._stage, ExportErrorCode.INTERNAL)
                message = f"The export could not go on after {self._stage.replace('_', ' ')}; it can be tried again."
                return RecordFailureInput(job=self._job, code=code, message=message, retryable=True)
