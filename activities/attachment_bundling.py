from temporalio import activity

from stafett.attachment_bundler import AttachmentBundler
from stafett.domain.export_job import ExportJob, StageReceipt
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_runner import ExportStages


class AttachmentBundlingActivities:
    """The requirements' ``bufdir-attachment-bundler``."""

    def __init__(self, stages: ExportStages, bundler: AttachmentBundler) -> None:
        self._stages = stages
        self._bundler = bundler

    @activity.defn(no_thread_cancel_exception=True)
    def bundle_attachments(self, job: ExportJob) -> StageReceipt:
        return self._stages.perform(job, ExportStatus.BUNDLING_ATTACHMENTS, self._bundler)
