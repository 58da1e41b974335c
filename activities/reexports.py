from temporalio import activity

from stafett.domain.export_job import ExportJob
from stafett.domain.reexport_job import HistoricalRecord, RecordReexportFailureInput, ReexportJob, ReexportOutcome
from stafett.reports.completion import ReexportCompletion
from stafett.reports.steps import ReexportSteps


class ReexportActivities:
    """The requirements' ``report-reexport-coordinator``, without the export itself."""

    def __init__(self, steps: ReexportSteps, completion: ReexportCompletion) -> None:
        self._steps = steps
        self._completion = completion

    @activity.defn(no_thread_cancel_exception=True)
    def load_original_parameters(self, job: ReexportJob) -> HistoricalRecord:
        return self._steps.load_original_parameters(job, activity.info().workflow_run_id or "")

    @activity.defn(no_thread_cancel_exception=True)
    def insert_child_export(self, record: HistoricalRecord) -> ExportJob:
        return self._steps.insert_child_export(record)

    @activity.defn(no_thread_cancel_exception=True)
    def store_reexport_result(self, job: ReexportJob) -> None:
        self._steps.store_result(job)

    @activity.defn(no_thread_cancel_exception=True)
    def enqueue_reexport_notifications(self, job: ReexportJob) -> None:
        self._steps.enqueue_completion_notifications(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_reexport_completion(self, job: ReexportJob) -> ReexportOutcome:
        return self._completion.complete(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_reexport_failure(self, failure: RecordReexportFailureInput) -> ReexportOutcome:
        self._completion.fail(failure)
        return self._completion.load_outcome(failure.job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_reexport_cancellation(self, job: ReexportJob) -> ReexportOutcome:
        """Delete the child export's files before the re-export is recorded as cancelled."""
        return self._completion.finish_cancel(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_reexport_outcome(self, job: ReexportJob) -> ReexportOutcome:
        return self._completion.load_outcome(job)
