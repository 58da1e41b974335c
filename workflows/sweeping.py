from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import SweepingActivities
    from stafett.domain.export_job import SweepReport
    from stafett.temporal.client import SWEEP_JOBS


@workflow.defn(name=SWEEP_JOBS)
class SweepJobs:
    """Run by a schedule, and whenever a gateway comes up."""

    @workflow.run
    async def run(self) -> SweepReport:
        return await workflow.execute_activity_method(
            SweepingActivities.sweep_jobs,
            start_to_close_timeout=timedelta(minutes=5),
            schedule_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=timedelta(seconds=5),
            summary="start what was left, close what was ended from outside",
        )
