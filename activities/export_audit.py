from temporalio import activity

from stafett.domain.export_job import ExportEnd, ExportFailing, ExportJob
from stafett.export_stages import ExportStages


class ExportAuditActivities:
    """The requirements' ``bufdir-export-audit-service``: how an export ended, for good."""

    def __init__(self, stages: ExportStages) -> None:
        self._stages = stages

    @activity.defn(no_thread_cancel_exception=True)
    def record_completion(self, job: ExportJob) -> ExportEnd:
        return self._stages.complete(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_empty(self, job: ExportJob) -> ExportEnd:
        return self._stages.complete_empty(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_failure(self, failing: ExportFailing) -> None:
        self._stages.fail(failing)
