from temporalio import activity

from stafett.column_mapping import ColumnMapper
from stafett.domain.export_job import ExportJob, StageReceipt
from stafett.domain.export_status import ExportStatus
from stafett.exports.stages import ExportStages


class ColumnMappingActivities:
    """The requirements' ``bufdir-column-mapper``."""

    def __init__(self, stages: ExportStages, mapping: ColumnMapper) -> None:
        self._stages = stages
        self._mapping = mapping

    @activity.defn(no_thread_cancel_exception=True)
    def map_columns(self, job: ExportJob) -> StageReceipt:
        return self._stages.perform(job, ExportStatus.MAPPING_COLUMNS, self._mapping)
