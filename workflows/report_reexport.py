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
    from activities.reexports import ReportReexportActivities
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
    from stafett.temporal.client import ATTEMPT, JOB_STATUS, search_attributes_of
    from workflows.bufdir_export import BufdirExport
    from workflows.cancellation import Stoppable, is_stale
    from workflows.notifications import tell_of_end
    from workflows.policies import patiently, to_its_end
    from workflows.run_details import reexport_details

Answer = TypeVar("Answer")
Given = TypeVar("Given")


@workflow.defn(name=JobKind.REPORT_REEXPORT.value)
class ReportReexport(Stoppable[ReexportOutcome]):
    """One re-export of one report; under the report's own id, so that the engine too runs one at a time."""

    @workflow.init
    def __init__(self, job: ReexportJob) -> None:
        self._job = job
        self._stage = ReexportStatus.PENDING
        self._export: ExportJob | None = None
        self._edited: ReexportUpdateInput | None = None

    @workflow.run
    async def run(self, job: ReexportJob) -> ReexportOutcome:
        try:
            end = await self._worked(self._reexport(job))
        except (FailureError, asyncio.CancelledError) as error:
            end = await to_its_end(self._ended_early(job, error))
        self._show(end.status)
        await to_its_end(tell_of_end(job))
        if end.status is ReexportStatus.CANCELLED:
            self._close_as_asked()
        return end

    @workflow.update
    def edited(self, edited: ReexportUpdateInput) -> ReexportProgress:
        """Somebody has written something down on the job: it stands in PostgreSQL, and operators see that it does."""
        self._edited = edited
        self._show(self._stage)
        return self.progress()

    @workflow.query
    def progress(self) -> ReexportProgress:
        """What is now being done, and the export whose own progress tells the rest."""
        return ReexportProgress(stage=self._stage, export_id=self._export and self._export.export_id)

    async def _reexport(self, job: ReexportJob) -> ReexportOutcome:
        record: HistoricalRecord = await self._do(ReportReexportActivities.load_history, job)
        export: ExportJob = await self._do(ReportReexportActivities.build_export_params, record)
        rows = await self._exported(export)
        self._show(ReexportStatus.STORING_RESULT)
        await self._do(ReportReexportActivities.store_reexport_result, job, rows)
        return await to_its_end(self._completed(job))

    async def _exported(self, export: ExportJob) -> int:
        """How many rows it has. Its run is a child: whatever stops this one stops that, and is answered when it has."""
        self._export = export
        self._show(ReexportStatus.EXPORTING)
        end = await self._child(export)
        match end.status:
            case ExportStatus.COMPLETED:
                return end.row_count
            case ExportStatus.CANCELLED:
                raise CancelledError("The export was cancelled.")
            case _:
                raise ApplicationError(f"The export ended {end.status}.", type=ExportErrorCode.INTERNAL)

    async def _child(self, export: ExportJob) -> ExportOutcome:
        starting = workflow.start_child_workflow(
            BufdirExport.run,
            export,
            id=export.workflow_id,
            cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            static_summary=export.summary,
            search_attributes=search_attributes_of(export),
            memo={ATTEMPT: export.attempt},
            priority=Priority(fairness_key=export.org_id),
        )
        run = await to_its_end(starting)  # a child that is just being started could not be waited for
        if self._stops:
            run.cancel()
        return await run

    async def _completed(self, job: ReexportJob) -> ReexportOutcome:
        """The version stands, and whatever happens now does not undo it."""
        self._show(ReexportStatus.NOTIFYING)
        try:
            await patiently(ReportReexportActivities.notify_reexport_complete, job, "notify")
        except ActivityError:
            workflow.logger.warning("nobody could be told of the re-export")
        return await patiently(ReportReexportActivities.record_reexport_completion, job, "completed")

    async def _ended_early(self, job: ReexportJob, error: BaseException) -> ReexportOutcome:
        """Cancelled, by whomever; ended by somebody else; or failed, and then raised on."""
        if not self._stops and not _is_cancelled(error):
            if not is_stale(error):
                failing = self._failing(error)
                end = await patiently(ReportReexportActivities.record_reexport_failure, failing, "say why it failed")
                if end.status is ReexportStatus.FAILED:
                    self._show(ReexportStatus.FAILED)
                    await tell_of_end(job)
                    raise error
            else:
                end = await patiently(ReportReexportActivities.read_reexport_end, job, "somebody else ended it")
            if end.status is not ReexportStatus.CANCELLING:
                return await self._completed(job) if end.status in RESULT_STORED_STATUSES else end
        self._show(ReexportStatus.CANCELLING)
        stop = ReportReexportActivities.record_reexport_cancellation
        end = await patiently(stop, job, "stop, and leave nothing behind")
        return await self._completed(job) if end.status in RESULT_STORED_STATUSES else end

    async def _do(self, method: Callable[[Any, Given], Answer], given: Given, rows: int | None = None) -> Answer:
        self._go_on()
        return await patiently(method, given, method.__name__.replace("_", " "), rows=rows)

    def _show(self, stage: ReexportStatus) -> None:
        self._stage = stage
        workflow.upsert_search_attributes([JOB_STATUS.value_set(stage)])
        edits = self._edited.edits if self._edited else 0
        details = reexport_details(self._job, stage, self._export, edits, workflow.info().namespace)
        workflow.set_current_details(details)

    def _failing(self, error: BaseException) -> RecordReexportFailureInput:
        """A foreseen failure by its own code; any other by what was being done."""
        match error.__cause__:
            case ApplicationError(type=code, message=message, details=details) if code in set(ExportErrorCode):
                retryable = bool(details and details[0])
                return RecordReexportFailureInput(
                    job=self._job, code=ExportErrorCode(code), message=message, retryable=retryable
                )
            case _:
                code = REEXPORT_ERROR_CODE_BY_STATUS.get(self._stage, ExportErrorCode.INTERNAL)
                message = (
                    f"The re-export could not go on after {self._stage.replace('_', ' ')}; it can be asked for again."
                )
                return RecordReexportFailureInput(job=self._job, code=code, message=message, retryable=True)


def _is_cancelled(error: BaseException) -> bool:
    """Somebody has stopped the export, and so what it was for."""
    is_childs = isinstance(error, ChildWorkflowError) and isinstance(error.__cause__, CancelledError)
    return is_childs or isinstance(error, (CancelledError, asyncio.CancelledError))
