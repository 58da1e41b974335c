"""The re-export of a past report: load the history, build the parameters, export, store, notify."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.reexports import ReexportActivities
    from stafett.domain.export_job import ExportJob, ExportOutcome
    from stafett.domain.export_status import ExportErrorCode, ExportStatus
    from stafett.domain.job import JobKind
    from stafett.domain.reexport_job import (
        HistoricalRecord,
        RecordReexportFailureInput,
        ReexportJob,
        ReexportOutcome,
        ReexportProgress,
        ReexportUpdateInput,
    )
    from stafett.domain.reexport_status import REEXPORT_ERROR_CODE_BY_STATUS, RESULT_STORED_STATUSES, ReexportStatus
    from stafett.temporal.client import ATTEMPT_MEMO_KEY, JOB_STATUS, build_search_attributes
    from workflows.bufdir_export import BufdirExport
    from workflows.cancellation import CancellableWorkflow, is_stale_attempt
    from workflows.notifications import start_notifications
    from workflows.policies import (
        IO_WORKLOAD,
        Workload,
        finish_despite_cancellation,
        run_activity,
        run_outcome_activity,
    )
    from workflows.run_details import render_reexport_details

ActivityResult = TypeVar("ActivityResult")
ActivityInput = TypeVar("ActivityInput")


@workflow.defn(name=JobKind.REPORT_REEXPORT.value)
class ReportReexport(CancellableWorkflow[ReexportOutcome]):
    """One re-export of a report. The workflow id is the report's, so that Temporal too runs one at a time."""

    @workflow.init
    def __init__(self, job: ReexportJob) -> None:
        self._job = job
        self._status = ReexportStatus.PENDING
        self._export_job: ExportJob | None = None
        self._last_edit: ReexportUpdateInput | None = None

    @workflow.run
    async def run(self, job: ReexportJob) -> ReexportOutcome:
        try:
            outcome = await self._run_cancellable(self._run_steps(job))
        except (FailureError, asyncio.CancelledError) as error:
            outcome = await finish_despite_cancellation(self._handle_failure(job, error))
        self._publish_status(outcome.status)
        if outcome.has_deliveries:
            await finish_despite_cancellation(start_notifications(job))
        if outcome.status is ReexportStatus.CANCELLED:
            self._close_as_cancelled()
        return outcome

    @workflow.update
    def record_edit(self, edit: ReexportUpdateInput | None = None) -> ReexportProgress:
        """Show operators that a user has edited the job; the edit itself is in PostgreSQL."""
        self._last_edit = edit or self._last_edit
        self._publish_status(self._status)
        return self.progress()

    @workflow.query
    def progress(self) -> ReexportProgress:
        """Return the current status and the child export, whose own ``progress`` has the details."""
        return ReexportProgress(stage=self._status, export_id=self._export_job and self._export_job.export_id)

    async def _run_steps(self, job: ReexportJob) -> ReexportOutcome:
        record: HistoricalRecord = await self._run_step(ReexportActivities.load_original_parameters, job)
        export: ExportJob = await self._run_step(ReexportActivities.insert_child_export, record)
        row_count = await self._run_export(export)
        self._publish_status(ReexportStatus.STORING_RESULT)
        await self._run_step(ReexportActivities.store_reexport_result, job, Workload(row_count))
        return await finish_despite_cancellation(self._enqueue_notifications_and_complete(job))

    async def _run_export(self, export_job: ExportJob) -> int:
        """Run the export as a child workflow and return its row count.

        Cancelling this run cancels the child, and waits until the child has stopped. No child is started after the
        cancel: the export's row ends with the re-export's.
        """
        self._raise_if_cancelled()
        self._export_job = export_job
        self._publish_status(ReexportStatus.EXPORTING)
        outcome = await self._run_child_workflow(export_job)
        match outcome.status:
            case ExportStatus.COMPLETED:
                return outcome.row_count
            case ExportStatus.CANCELLED:
                raise CancelledError("The export was cancelled.")
            case _:
                raise ApplicationError(
                    f"The export ended with the status {outcome.status}.", type=ExportErrorCode.INTERNAL
                )

    async def _run_child_workflow(self, export_job: ExportJob) -> ExportOutcome:
        starting = workflow.start_child_workflow(
            BufdirExport.run,
            export_job,
            id=export_job.workflow_id,
            cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            static_summary=export_job.summary,
            search_attributes=build_search_attributes(export_job),
            memo={ATTEMPT_MEMO_KEY: export_job.attempt},
            priority=Priority(fairness_key=export_job.org_id),
        )
        run = await finish_despite_cancellation(starting)  # otherwise a cancel during the start would lose the child
        if self._cancel_requested:
            run.cancel()
        return await run

    async def _enqueue_notifications_and_complete(self, job: ReexportJob) -> ReexportOutcome:
        """Complete even if the notifications cannot be enqueued, because the version is stored."""
        self._publish_status(ReexportStatus.NOTIFYING)
        try:
            await run_outcome_activity(ReexportActivities.enqueue_reexport_notifications, job, "enqueue notifications")
        except ActivityError:
            workflow.logger.warning("re-export notification failed")
        return await run_outcome_activity(ReexportActivities.record_reexport_completion, job, "record completion")

    async def _handle_failure(self, job: ReexportJob, error: BaseException) -> ReexportOutcome:
        """Finish a run that was cancelled, superseded or failed; re-raise failures.

        If the result was stored before the run stopped, the re-export completes.
        """
        if not self._cancel_requested and not _is_cancellation(error):
            if not is_stale_attempt(error):
                failure = self._failure_from(error)
                outcome = await run_outcome_activity(
                    ReexportActivities.record_reexport_failure, failure, "record failure"
                )
                if outcome.status is ReexportStatus.FAILED:
                    self._publish_status(ReexportStatus.FAILED)
                    if outcome.has_deliveries:
                        await start_notifications(job)
                    raise error
            else:
                outcome = await run_outcome_activity(ReexportActivities.read_reexport_outcome, job, "read outcome")
            if outcome.status is not ReexportStatus.CANCELLING:
                return (
                    await self._enqueue_notifications_and_complete(job)
                    if outcome.status in RESULT_STORED_STATUSES
                    else outcome
                )
        self._publish_status(ReexportStatus.CANCELLING)
        summary = "clean up and record cancellation"
        outcome = await run_outcome_activity(ReexportActivities.record_reexport_cancellation, job, summary)
        return (
            await self._enqueue_notifications_and_complete(job) if outcome.status in RESULT_STORED_STATUSES else outcome
        )

    async def _run_step(
        self,
        method: Callable[[Any, ActivityInput], ActivityResult],
        argument: ActivityInput,
        workload: Workload = IO_WORKLOAD,
    ) -> ActivityResult:
        self._raise_if_cancelled()
        return await run_activity(method, argument, method.__name__.replace("_", " "), workload)

    def _publish_status(self, status: ReexportStatus) -> None:
        self._status = status
        workflow.upsert_search_attributes([JOB_STATUS.value_set(status)])
        edits = self._last_edit.edits if self._last_edit else 0
        details = render_reexport_details(self._job, status, self._export_job, edits, workflow.info().namespace)
        workflow.set_current_details(details)

    def _failure_from(self, error: BaseException) -> RecordReexportFailureInput:
        """Take the code of a domain error; give any other error the code of the status in which it happened."""
        match error.__cause__:
            case ApplicationError(type=code, message=message, details=details) if code in set(ExportErrorCode):
                retryable = bool(details and details[0])
                return RecordReexportFailureInput(
                    job=self._job, code=ExportErrorCode(code), message=message, retryable=retryable
                )
            case _:
                code = REEXPORT_ERROR_CODE_BY_STATUS.get(self._status, ExportErrorCode.INTERNAL)
                message = f"The re-export failed while {self._status.replace('_', ' ')}; request a new re-export."
                return RecordReexportFailureInput(job=self._job, code=code, message=message, retryable=True)


def _is_cancellation(error: BaseException) -> bool:
    """Return whether the run was cancelled, or its child export was, which cancels the re-export too."""
    is_child_cancelled = isinstance(error, ChildWorkflowError) and isinstance(error.__cause__, CancelledError)
    return is_child_cancelled or isinstance(error, (CancelledError, asyncio.CancelledError))
