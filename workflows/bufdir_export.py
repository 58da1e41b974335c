"""The Bufdir export: query, map, generate, bundle if requested, store, record."""

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.exports import ExportOutcomeActivities, ExportStageActivities
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
    from workflows.policies import (
        QUERY_WORKLOAD,
        Workload,
        finish_despite_cancellation,
        run_activity,
        run_outcome_activity,
    )
    from workflows.run_details import render_export_details


@workflow.defn(name=JobKind.BUFDIR_EXPORT.value)
class BufdirExport(CancellableWorkflow[ExportOutcome]):
    """One attempt at an export. The workflow only sequences stages; all state is in PostgreSQL and S3."""

    @workflow.init
    def __init__(self, job: ExportJob) -> None:
        self._job = job
        self._status = ExportStatus.INITIALISED
        self._finished_stages: list[StageResult] = []

    @workflow.run
    async def run(self, job: ExportJob) -> ExportOutcome:
        try:
            outcome = await self._run_cancellable(self._run_stages(job))
        except (ActivityError, asyncio.CancelledError) as error:
            outcome = await finish_despite_cancellation(self._handle_failure(job, error))
        self._publish_status(outcome.status)
        await finish_despite_cancellation(self._notify(job, outcome))
        if outcome.status is ExportStatus.CANCELLED:
            self._close_as_cancelled()
        return outcome

    @workflow.query
    def progress(self) -> ExportProgress:
        """Return the running stage; its row counts are in PostgreSQL."""
        return ExportProgress(stage=self._status, attempt=self._job.attempt)

    async def _run_stages(self, job: ExportJob) -> ExportOutcome:
        queried = await self._run_stage(
            ExportStatus.QUERYING_ACTIVITIES, ExportStageActivities.query_activities, QUERY_WORKLOAD
        )
        if queried.rows == 0:
            summary = "record empty export"
            return await run_outcome_activity(ExportOutcomeActivities.record_empty_completion, job, summary)
        late = Workload(queried.rows)
        first = late._replace(is_late=False)
        await self._run_stage(ExportStatus.MAPPING_COLUMNS, ExportStageActivities.map_columns, first)
        await self._run_stage(ExportStatus.GENERATING_FILE, ExportStageActivities.generate_file, late)
        if job.include_attachments:
            await self._run_stage(ExportStatus.BUNDLING_ATTACHMENTS, ExportStageActivities.bundle_attachments, late)
        last = late._replace(derive_queue=None)
        await self._run_stage(ExportStatus.STORING_FILE, ExportStageActivities.store_file, last)
        self._raise_if_cancelled()
        self._publish_status(ExportStatus.RECORDING_AUDIT)
        return await run_outcome_activity(ExportOutcomeActivities.record_completion, job, "recording audit")

    async def _handle_failure(self, job: ExportJob, error: BaseException) -> ExportOutcome:
        """Record why the run stopped (cancelled, superseded or failed). Re-raises failures."""
        if not self._cancel_requested:
            if not is_stale_attempt(error) and (failed := await self._record_failure(error)):
                self._publish_status(ExportStatus.FAILED)
                await self._notify(job, failed)
                raise error
            outcome = await run_outcome_activity(ExportOutcomeActivities.read_outcome, job, "read outcome")
            if outcome.status is not ExportStatus.CANCELLING:
                return outcome
        self._publish_status(ExportStatus.CANCELLING)
        summary = "clean up and record cancellation"
        return await run_outcome_activity(ExportOutcomeActivities.record_cancellation, job, summary)

    async def _record_failure(self, error: BaseException) -> ExportOutcome | None:
        """Record the failure; return none if the attempt has already ended or is being cancelled."""
        try:
            return await run_outcome_activity(
                ExportOutcomeActivities.record_failure, self._failure_from(error), "record failure"
            )
        except ActivityError as recording_error:
            if not is_stale_attempt(recording_error):
                raise
            return None

    async def _notify(self, job: ExportJob, outcome: ExportOutcome) -> None:
        """Start the notifications, if there are any. A re-export sends its own, so its child export sends none."""
        if job.origin is ExportOrigin.REPORT and outcome.has_deliveries:
            await start_notifications(job)

    async def _run_stage(
        self, stage: ExportStatus, method: Callable[[Any, ExportJob], StageResult], workload: Workload
    ) -> StageResult:
        self._raise_if_cancelled()
        self._publish_status(stage)
        result = await run_activity(method, self._job, stage.replace("_", " "), workload)
        self._finished_stages.append(result)
        return result

    def _publish_status(self, status: ExportStatus) -> None:
        self._status = status
        workflow.upsert_search_attributes([JOB_STATUS.value_set(status)])
        workflow.set_current_details(
            render_export_details(self._job, status, self._finished_stages, workflow.info().namespace)
        )

    def _failure_from(self, error: BaseException) -> RecordFailureInput:
        """Take the code of a domain error; give any other error the code of the stage in which it happened."""
        match error.__cause__:
            case ApplicationError(type=code, message=message, details=details) if code in set(ExportErrorCode):
                retryable = bool(details and details[0])
                return RecordFailureInput(
                    job=self._job, code=ExportErrorCode(code), message=message, retryable=retryable
                )
            case _:
                code = ERROR_CODE_BY_STAGE.get(self._status, ExportErrorCode.INTERNAL)
                message = f"The export failed while {self._status.replace('_', ' ')}; retry the export."
                return RecordFailureInput(job=self._job, code=code, message=message, retryable=True)
