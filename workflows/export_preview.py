from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.previews import PreviewActivities
    from stafett.domain.export_preview import PreviewJob
    from stafett.temporal.client import PREVIEW_EXPORT
    from stafett.temporal.queues import preview_queue
    from workflows.policies import HEARTBEAT_TIMEOUT


@workflow.defn(name=PREVIEW_EXPORT)
class PreviewExport:
    """Build a preview in less than a minute or fail: an API request is waiting for it."""

    @workflow.run
    async def run(self, job: PreviewJob) -> None:
        await workflow.execute_activity_method(
            PreviewActivities.preview_export,
            job,
            task_queue=preview_queue(workflow.info().task_queue),
            schedule_to_close_timeout=timedelta(seconds=50),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=3),
            summary="build preview",
        )
