from temporalio import activity

from stafett.domain.export_job import ExportEnd, ExportFailing, ExportJob
from stafett.export_record import ExportRecord
from stafett.export_stages import ExportStages
from stafett.file_storage import FileStorage


class ExportAuditActivities:
    """The requirements' ``bufdir-export-audit-service``: how an export ended, for good."""

    def __init__(self, stages: ExportStages, record: ExportRecord, storage: FileStorage) -> None:
        self._stages = stages
        self._record = record
        self._storage = storage

    @activity.defn(no_thread_cancel_exception=True)
    def record_completion(self, job: ExportJob) -> ExportEnd:
        return self._stages.conclude(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_empty(self, job: ExportJob) -> ExportEnd:
        return self._record.complete_empty(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_failure(self, failing: ExportFailing) -> None:
        self._record.fail(failing)

    @activity.defn(no_thread_cancel_exception=True)
    def record_cancellation(self, job: ExportJob) -> ExportEnd:
        """Nothing of it is left in storage when it is said to be cancelled."""
        if not self._record.cancel(job):
            return self._record.end_of(job)
        self._storage.remove_below(job.place)
        return self._record.cancelled(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_end(self, job: ExportJob) -> ExportEnd:
        return self._record.end_of(job)
