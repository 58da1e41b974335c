from temporalio import activity

from stafett.domain.export_job import ExportJob, StageReceipt
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_runner import ExportStages
from stafett.exports.stages.map_columns import ColumnMapper


class ColumnMappingActivities:
    """The requirements' ``bufdir-column-mapper``."""

    def __init__(self, stages: ExportStages, mapping: ColumnMapper) -> None:
        self._stages = stages
        self._mapping = mapping

    @activity.defn(no_thread_cancel_exception=True)
    def map_columns(self, job: ExportJob) -> StageReceipt:
        return self._stages.perform(job, ExportStatus.MAPPING_COLUMNS, self._mapping)
