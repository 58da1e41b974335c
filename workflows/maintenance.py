"""Workflows that Temporal Schedules start: retention, audit checkpoints, reconciliation."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.maintenance import CheckpointActivities, RetentionActivities
    from activities.reconciliation import ReconciliationActivities
    from stafett.domain.audit_chain import CheckpointReport
    from stafett.domain.export_job import RetentionReport, SweepReport
    from stafett.temporal.client import APPLY_RETENTION, CHECKPOINT_AUDIT_CHAINS, SWEEP_JOBS


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


@workflow.defn(name=CHECKPOINT_AUDIT_CHAINS)
class CheckpointAuditChains:
    """Run by a schedule: what has grown is signed, what is broken is told."""

    @workflow.run
    async def run(self) -> CheckpointReport:
        report = await workflow.execute_activity_method(
            CheckpointActivities.checkpoint_chains,
            start_to_close_timeout=timedelta(hours=1),
            schedule_to_close_timeout=timedelta(minutes=100),
            heartbeat_timeout=timedelta(seconds=5),
            summary="verify and sign what has been added to the audit chains",
        )
        alarms = [f"BROKEN: {record.message}" for record in report.broken_records]
        signed = f"{report.written} chains signed, {report.unchanged} had not grown"
        workflow.set_current_details("\n\n".join([*alarms, signed]))
        return report


@workflow.defn(name=SWEEP_JOBS)
class SweepJobs:
    """Run by a schedule, and whenever a gateway comes up."""

    @workflow.run
    async def run(self) -> SweepReport:
        return await workflow.execute_activity_method(
            ReconciliationActivities.sweep_jobs,
            start_to_close_timeout=timedelta(minutes=5),
            schedule_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=timedelta(seconds=5),
            summary="start what was left, close what was ended from outside",
        )
