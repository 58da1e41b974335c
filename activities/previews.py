from temporalio import activity

from stafett.domain.export_preview import PreviewJob
from stafett.exports.preview import PreviewBuilder


class PreviewActivities:
    """Builds export previews."""

    def __init__(self, preview_builder: PreviewBuilder) -> None:
        self._preview_builder = preview_builder

    @activity.defn(no_thread_cancel_exception=True)
    def preview_export(self, job: PreviewJob) -> None:
        self._preview_builder(job)
