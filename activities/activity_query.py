from temporalio import activity

from stafett.domain.export_job import ExportJob, StageReceipt
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_runner import ExportStages
from stafett.reports.snapshot_copy import SnapshotRepetition


class ActivityQueryActivities:
    """The requirements' ``bufdir-activity-query-service``."""

    def __init__(self, stages: ExportStages, query: SnapshotRepetition) -> None:
        self._stages = stages
        self._query = query

    @activity.defn(no_thread_cancel_exception=True)
    def query_activities(self, job: ExportJob) -> StageReceipt:
        return self._stages.perform(job, ExportStatus.QUERYING_ACTIVITIES, self._query)
