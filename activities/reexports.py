from temporalio import activity

from stafett.domain.export_job import ExportJob
from stafett.domain.reexport_job import HistoricalRecord, RecordReexportFailureInput, ReexportJob, ReexportOutcome
from stafett.reports.completion import ReexportEndings
from stafett.reports.steps import ReexportStages


class ReportReexportActivities:
    """The requirements' ``report-reexport-coordinator``, apart from the export itself."""

    def __init__(self, stages: ReexportStages, endings: ReexportEndings) -> None:
        self._stages = stages
        self._endings = endings

    @activity.defn(no_thread_cancel_exception=True)
    def load_history(self, job: ReexportJob) -> HistoricalRecord:
        return self._stages.load_history(job, activity.info().workflow_run_id or "")

    @activity.defn(no_thread_cancel_exception=True)
    def build_export_params(self, record: HistoricalRecord) -> ExportJob:
        return self._stages.build_export_params(record)

    @activity.defn(no_thread_cancel_exception=True)
    def store_reexport_result(self, job: ReexportJob) -> None:
        self._stages.store_result(job)

    @activity.defn(no_thread_cancel_exception=True)
    def notify_reexport_complete(self, job: ReexportJob) -> None:
        self._stages.notify_complete(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_reexport_completion(self, job: ReexportJob) -> ReexportOutcome:
        return self._endings.complete(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_reexport_failure(self, failing: RecordReexportFailureInput) -> ReexportOutcome:
        self._endings.fail(failing)
        return self._endings.end_of(failing.job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_reexport_cancellation(self, job: ReexportJob) -> ReexportOutcome:
        """Nothing of its export is left in storage when it is said to be cancelled."""
        return self._endings.cancel(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_reexport_end(self, job: ReexportJob) -> ReexportOutcome:
        return self._endings.end_of(job)
