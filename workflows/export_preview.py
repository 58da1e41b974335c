from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.previews import PreviewActivities
    from stafett.domain.export_preview import PreviewJob
    from stafett.temporal.client import PREVIEW_EXPORT


@workflow.defn(name=PREVIEW_EXPORT)
class PreviewExport:
    """Somebody waits for it, so it takes less than a minute or is given up."""

    @workflow.run
    async def run(self, job: PreviewJob) -> None:
        await workflow.execute_activity_method(
            PreviewActivities.preview_export,
            job,
            schedule_to_close_timeout=timedelta(seconds=50),
            heartbeat_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=3),
            summary="what the export would be",
        )
