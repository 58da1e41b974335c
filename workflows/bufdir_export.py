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
        ExportOutcomeActivities,
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
    from workflows.cancellation import CancellableWorkflow, is_stale_attempt
    from workflows.notifications import start_notifications
    from workflows.policies import finish_despite_cancellation, run_activity
    from workflows.run_details import render_export_details

ActivityResult = TypeVar("ActivityResult")


@workflow.defn(name=JobKind.BUFDIR_EXPORT.value)
class BufdirExport(CancellableWorkflow[ExportOutcome]):
    """One attempt at one export; what it knows is in PostgreSQL and S3, here is only the order of things."""

    @workflow.init
    def __init__(self, job: ExportJob) -> None:
        self._job = job
        self._stage = ExportStatus.INITIALISED
        self._finished_stages: list[StageResult] = []

    @workflow.run
    async def run(self, job: ExportJob) -> ExportOutcome:
        try:
            end = await self._run_cancellable(self._run_stages(job))
        except (ActivityError, asyncio.CancelledError) as error:
            end = await finish_despite_cancellation(self._handle_failure(job, error))
        self._publish_status(end.status)
        await finish_despite_cancellation(self._notify(job))
        if end.status is ExportStatus.CANCELLED:
            self._close_as_cancelled()
        return end

    @workflow.query
    def progress(self) -> ExportProgress:
        """The stage now running; rows are counted in PostgreSQL."""
        return ExportProgress(stage=self._stage, attempt=self._job.attempt)

    async def _run_stages(self, job: ExportJob) -> ExportOutcome:
        queried = await self._run_stage(ExportStatus.QUERYING_ACTIVITIES, ActivityQueryActivities.query_activities)
        if queried.rows == 0:
            return await run_activity(ExportOutcomeActivities.record_empty_completion, job, "nothing to report")
        rows = queried.rows
        await self._run_stage(ExportStatus.MAPPING_COLUMNS, ColumnMappingActivities.map_columns, rows)
        await self._run_stage(ExportStatus.GENERATING_FILE, FileGenerationActivities.generate_file, rows)
        if job.include_attachments:
            await self._run_stage(
                ExportStatus.BUNDLING_ATTACHMENTS, AttachmentBundlingActivities.bundle_attachments, rows
            )
        await self._run_stage(ExportStatus.STORING_FILE, FileStorageActivities.store_file)
        return await self._run_stage(ExportStatus.RECORDING_AUDIT, ExportOutcomeActivities.record_completion)

    async def _handle_failure(self, job: ExportJob, error: BaseException) -> ExportOutcome:
        """Cancelled, by us or behind our back; ended by somebody else; or failed, and then raised on."""
        if not self._cancel_requested:
            if not is_stale_attempt(error) and await self._record_failure(error):
                self._publish_status(ExportStatus.FAILED)
                await self._notify(job)
                raise error
            end = await run_activity(ExportOutcomeActivities.read_outcome, job, "somebody else ended it")
            if end.status is not ExportStatus.CANCELLING:
                return end
        self._publish_status(ExportStatus.CANCELLING)
        return await run_activity(ExportOutcomeActivities.record_cancellation, job, "stop, and leave nothing behind")

    async def _record_failure(self, error: BaseException) -> bool:
        """Say why; false if it is not for us to say, because somebody else has ended it or wants it stopped."""
        try:
            await run_activity(ExportOutcomeActivities.record_failure, self._failure_from(error), "say why it failed")
        except ActivityError as late:
            if not is_stale_attempt(late):
                raise
            return False
        return True

    async def _notify(self, job: ExportJob) -> None:
        """Of what is made for a re-export, that tells."""
        if job.origin is ExportOrigin.REPORT:
            await start_notifications(job)

    async def _run_stage(
        self, stage: ExportStatus, method: Callable[[Any, ExportJob], ActivityResult], row_count: int | None = None
    ) -> ActivityResult:
        self._raise_if_cancelled()
        self._publish_status(stage)
        answer = await run_activity(method, self._job, stage.replace("_", " "), row_count=row_count)
        if isinstance(answer, StageResult):
            self._finished_stages.append(answer)
        return answer

    def _publish_status(self, stage: ExportStatus) -> None:
        self._stage = stage
        workflow.upsert_search_attributes([JOB_STATUS.value_set(stage)])
        workflow.set_current_details(
            render_export_details(self._job, stage, self._finished_stages, workflow.info().namespace)
        )

    def _failure_from(self, error: BaseException) -> RecordFailureInput:
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
