from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.maintenance import RetentionActivities
    from stafett.domain.export_job import RetentionReport
    from stafett.temporal.client import APPLY_RETENTION


@workflow.defn(name=APPLY_RETENTION)
class ApplyRetention:
    """Run by a schedule."""

    @workflow.run
    async def run(self) -> RetentionReport:
        return await workflow.execute_activity_method(
            RetentionActivities.apply_retention,
            start_to_close_timeout=timedelta(hours=6),
            schedule_to_close_timeout=timedelta(hours=12),
            heartbeat_timeout=timedelta(seconds=5),
            summary="remove what is kept no longer",
        )
