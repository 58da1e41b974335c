from temporalio import activity

from stafett.domain.export_job import ExportJob, StageReceipt
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_runner import ExportStages
from stafett.file_generator import FileGeneration


class FileGenerationActivities:
    """The requirements' ``bufdir-file-generator``."""

    def __init__(self, stages: ExportStages, generation: FileGeneration) -> None:
        self._stages = stages
        self._generation = generation

    @activity.defn(no_thread_cancel_exception=True)
    def generate_file(self, job: ExportJob) -> StageReceipt:
        return self._stages.perform(job, ExportStatus.GENERATING_FILE, self._generation)
