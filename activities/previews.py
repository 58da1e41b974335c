from temporalio import activity

from stafett.domain.export_preview import PreviewJob
from stafett.exports.preview import ExportPreviewing


class ExportPreviewActivities:
    """Looks before anybody leaps."""

    def __init__(self, previewing: ExportPreviewing) -> None:
        self._previewing = previewing

    @activity.defn(no_thread_cancel_exception=True)
    def preview_export(self, asked: PreviewJob) -> None:
        self._previewing(asked)
