from temporalio import activity

from stafett.domain.export_job import ExportEnd, ExportFailing, ExportJob
from stafett.exports.completion import ExportEndings
from stafett.exports.stage_runner import ExportStages
from stafett.storage.files import FileStorage


class ExportAuditActivities:
    """The requirements' ``bufdir-export-audit-service``: how an export ended, for good."""

    def __init__(self, stages: ExportStages, endings: ExportEndings, storage: FileStorage) -> None:
        self._stages = stages
        self._endings = endings
        self._storage = storage

    @activity.defn(no_thread_cancel_exception=True)
    def record_completion(self, job: ExportJob) -> ExportEnd:
        return self._stages.conclude(job, self._endings.complete)

    @activity.defn(no_thread_cancel_exception=True)
    def record_empty(self, job: ExportJob) -> ExportEnd:
        return self._endings.complete_empty(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_failure(self, failing: ExportFailing) -> None:
        self._endings.fail(failing)

    @activity.defn(no_thread_cancel_exception=True)
    def record_cancellation(self, job: ExportJob) -> ExportEnd:
        """Nothing of it is left in storage when it is said to be cancelled."""
        if not self._endings.cancel(job):
            return self._endings.end_of(job)
        self._storage.remove_below(job.place)
        return self._endings.cancelled(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_end(self, job: ExportJob) -> ExportEnd:
        return self._endings.end_of(job)
