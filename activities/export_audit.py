from temporalio import activity

from stafett.domain.export_job import ExportEnd, ExportFailing, ExportJob
from stafett.export_record import ExportRecord


class ExportAuditActivities:
    """The requirements' ``bufdir-export-audit-service``: how an export ended, for good."""

    def __init__(self, record: ExportRecord) -> None:
        self._record = record

    @activity.defn(no_thread_cancel_exception=True)
    def record_completion(self, job: ExportJob) -> ExportEnd:
        return self._record.complete(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_empty(self, job: ExportJob) -> ExportEnd:
        return self._record.complete_empty(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_failure(self, failing: ExportFailing) -> None:
        self._record.fail(failing)

    @activity.defn(no_thread_cancel_exception=True)
    def read_end(self, job: ExportJob) -> ExportEnd:
        return self._record.end_of(job)
