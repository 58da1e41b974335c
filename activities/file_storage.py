from temporalio import activity

from stafett.domain.export_job import ExportJob, StageReceipt
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_runner import ExportStages
from stafett.file_generator import FileRegistration


class FileStorageActivities:
    """Makes sure of the file before anybody is told of it."""

    def __init__(self, stages: ExportStages, registration: FileRegistration) -> None:
        self._stages = stages
        self._registration = registration

    @activity.defn(no_thread_cancel_exception=True)
    def store_file(self, job: ExportJob) -> StageReceipt:
        return self._stages.perform(job, ExportStatus.STORING_FILE, self._registration)
