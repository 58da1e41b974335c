"""A past report, made again: load the history, build the parameters, export, store, notify."""

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
    from workflows.policies import finish_despite_cancellation, run_activity
    from workflows.run_details import render_reexport_details

ActivityResult = TypeVar("ActivityResult")
ActivityInput = TypeVar("ActivityInput")


@workflow.defn(name=JobKind.REPORT_REEXPORT.value)
class ReportReexport(CancellableWorkflow[ReexportOutcome]):
    """One re-export of one report; under the report's own id, so that the engine too runs one at a time."""

    @workflow.init
    def __init__(self, job: ReexportJob) -> None:
        self._job = job
        self._status = ReexportStatus.PENDING
        self._export_job: ExportJob | None = None
        self._last_edit: ReexportUpdateInput | None = None

    @workflow.run
    async def run(self, job: ReexportJob) -> ReexportOutcome:
        try:
            end = await self._run_cancellable(self._run_steps(job))
        except (FailureError, asyncio.CancelledError) as error:
            end = await finish_despite_cancellation(self._handle_failure(job, error))
        self._publish_status(end.status)
        await finish_despite_cancellation(start_notifications(job))
        if end.status is ReexportStatus.CANCELLED:
            self._close_as_cancelled()
        return end

    @workflow.update
    def record_edit(self, edit: ReexportUpdateInput) -> ReexportProgress:
        """Somebody has written something down on the job: it stands in PostgreSQL, and operators see that it does."""
        self._last_edit = edit
        self._publish_status(self._status)
        return self.progress()

    @workflow.query
    def progress(self) -> ReexportProgress:
        """What is now being done, and the export whose own progress tells the rest."""
        return ReexportProgress(stage=self._status, export_id=self._export_job and self._export_job.export_id)

    async def _run_steps(self, job: ReexportJob) -> ReexportOutcome:
        record: HistoricalRecord = await self._run_step(ReexportActivities.load_history, job)
        export: ExportJob = await self._run_step(ReexportActivities.build_export_params, record)
        rows = await self._run_export(export)
        self._publish_status(ReexportStatus.STORING_RESULT)
        await self._run_step(ReexportActivities.store_reexport_result, job, rows)
        return await finish_despite_cancellation(self._notify_and_complete(job))

    async def _run_export(self, export_job: ExportJob) -> int:
        """How many rows it has. Its run is a child: whatever stops this one stops that, and is answered when it has."""
        self._export_job = export_job
        self._publish_status(ReexportStatus.EXPORTING)
        end = await self._run_child_workflow(export_job)
        match end.status:
            case ExportStatus.COMPLETED:
                return end.row_count
            case ExportStatus.CANCELLED:
                raise CancelledError("The export was cancelled.")
            case _:
                raise ApplicationError(f"The export ended {end.status}.", type=ExportErrorCode.INTERNAL)

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
        run = await finish_despite_cancellation(starting)  # a child that is just being started could not be waited for
        if self._cancel_requested:
            run.cancel()
        return await run

    async def _notify_and_complete(self, job: ReexportJob) -> ReexportOutcome:
        """The version stands, and whatever happens now does not undo it."""
        self._publish_status(ReexportStatus.NOTIFYING)
        try:
            await run_activity(ReexportActivities.notify_reexport_complete, job, "notify")
        except ActivityError:
            workflow.logger.warning("nobody could be told of the re-export")
        return await run_activity(ReexportActivities.record_reexport_completion, job, "completed")

    async def _handle_failure(self, job: ReexportJob, error: BaseException) -> ReexportOutcome:
        """Cancelled, by whomever; ended by somebody else; or failed, and then raised on."""
        if not self._cancel_requested and not _is_cancellation(error):
            if not is_stale_attempt(error):
                failing = self._failure_from(error)
                end = await run_activity(ReexportActivities.record_reexport_failure, failing, "say why it failed")
                if end.status is ReexportStatus.FAILED:
                    self._publish_status(ReexportStatus.FAILED)
                    await start_notifications(job)
                    raise error
            else:
                end = await run_activity(ReexportActivities.read_reexport_outcome, job, "somebody else ended it")
            if end.status is not ReexportStatus.CANCELLING:
                return await self._notify_and_complete(job) if end.status in RESULT_STORED_STATUSES else end
        self._publish_status(ReexportStatus.CANCELLING)
        stop = ReexportActivities.record_reexport_cancellation
        end = await run_activity(stop, job, "stop, and leave nothing behind")
        return await self._notify_and_complete(job) if end.status in RESULT_STORED_STATUSES else end

    async def _run_step(
        self,
        method: Callable[[Any, ActivityInput], ActivityResult],
        argument: ActivityInput,
        row_count: int | None = None,
    ) -> ActivityResult:
        self._raise_if_cancelled()
        return await run_activity(method, argument, method.__name__.replace("_", " "), row_count=row_count)

    def _publish_status(self, status: ReexportStatus) -> None:
        self._status = status
        workflow.upsert_search_attributes([JOB_STATUS.value_set(status)])
        edits = self._last_edit.edits if self._last_edit else 0
        details = render_reexport_details(self._job, status, self._export_job, edits, workflow.info().namespace)
        workflow.set_current_details(details)

    def _failure_from(self, error: BaseException) -> RecordReexportFailureInput:
        """A foreseen failure by its own code; any other by what was being done."""
        match error.__cause__:
            case ApplicationError(type=code, message=message, details=details) if code in set(ExportErrorCode):
                retryable = bool(details and details[0])
                return RecordReexportFailureInput(
                    job=self._job, code=ExportErrorCode(code), message=message, retryable=retryable
                )
            case _:
                code = REEXPORT_ERROR_CODE_BY_STATUS.get(self._status, ExportErrorCode.INTERNAL)
                message = (
                    f"The re-export could not go on after {self._status.replace('_', ' ')}; it can be asked for again."
                )
                return RecordReexportFailureInput(job=self._job, code=code, message=message, retryable=True)


def _is_cancellation(error: BaseException) -> bool:
    """Somebody has stopped the export, and so what it was for."""
    is_childs = isinstance(error, ChildWorkflowError) and isinstance(error.__cause__, CancelledError)
    return is_childs or isinstance(error, (CancelledError, asyncio.CancelledError))
