"""Workflows that Temporal Schedules start: retention, audit checkpoints, reconciliation of jobs and of the bucket."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.maintenance import MaintenanceActivities
    from activities.reconciliation import ReconciliationActivities
    from stafett.domain.audit_chain import BrokenRecord, CheckpointReport, VerificationReport
    from stafett.domain.export_job import BucketReport, RetentionReport, SweepReport
    from stafett.temporal.client import (
        APPLY_RETENTION,
        CHECKPOINT_AUDIT_CHAINS,
        RECONCILE_BUCKET,
        SWEEP_JOBS,
        VERIFY_AUDIT_CHAINS,
    )
    from stafett.temporal.queues import maintenance_queue
    from workflows.policies import HEARTBEAT_TIMEOUT


@workflow.defn(name=APPLY_RETENTION)
class ApplyRetention:
    @workflow.run
    async def run(self) -> RetentionReport:
        return await workflow.execute_activity_method(
            MaintenanceActivities.apply_retention,
            task_queue=maintenance_queue(workflow.info().task_queue),
            start_to_close_timeout=timedelta(hours=6),
            schedule_to_close_timeout=timedelta(hours=12),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            summary="clear staging data, remove expired files",
        )


@workflow.defn(name=RECONCILE_BUCKET)
class ReconcileBucket:
    @workflow.run
    async def run(self) -> BucketReport:
        return await workflow.execute_activity_method(
            MaintenanceActivities.reconcile_bucket,
            task_queue=maintenance_queue(workflow.info().task_queue),
            start_to_close_timeout=timedelta(hours=10),
            schedule_to_close_timeout=timedelta(hours=22),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            summary="compare the bucket with the database",
        )


@workflow.defn(name=CHECKPOINT_AUDIT_CHAINS)
class CheckpointAuditChains:
    """Signs the audit chains that have grown, and shows broken chains in the run's current details."""

    @workflow.run
    async def run(self) -> CheckpointReport:
        report = await workflow.execute_activity_method(
            MaintenanceActivities.checkpoint_chains,
            task_queue=maintenance_queue(workflow.info().task_queue),
            start_to_close_timeout=timedelta(hours=1),
            schedule_to_close_timeout=timedelta(minutes=100),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            summary="verify and sign audit chains",
        )
        _show_result(report.broken_records, f"{report.written} chains signed, {report.unchanged} unchanged")
        return report


@workflow.defn(name=VERIFY_AUDIT_CHAINS)
class VerifyAuditChains:
    """Verifies every audit chain from its first event, and shows broken chains in the run's current details."""

    @workflow.run
    async def run(self) -> VerificationReport:
        report = await workflow.execute_activity_method(
            MaintenanceActivities.verify_chains,
            task_queue=maintenance_queue(workflow.info().task_queue),
            start_to_close_timeout=timedelta(hours=12),
            schedule_to_close_timeout=timedelta(hours=24),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            summary="verify whole audit chains",
        )
        _show_result(report.broken_records, f"{report.verified} chains verified")
        return report


@workflow.defn(name=SWEEP_JOBS)
class SweepJobs:
    """Runs by a schedule, and whenever an API process starts."""

    @workflow.run
    async def run(self) -> SweepReport:
        return await workflow.execute_activity_method(
            ReconciliationActivities.sweep_jobs,
            task_queue=maintenance_queue(workflow.info().task_queue),
            start_to_close_timeout=timedelta(minutes=5),
            schedule_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            summary="start waiting jobs, close jobs of terminated runs",
        )


def _show_result(broken_records: tuple[BrokenRecord, ...], result: str) -> None:
    broken = [f"BROKEN: {record.message}" for record in broken_records]
    workflow.set_current_details("\n\n".join([*broken, result]))
