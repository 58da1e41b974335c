from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.maintenance import AuditCheckpointingActivities
    from stafett.domain.audit_chain import CheckpointReport
    from stafett.temporal.client import CHECKPOINT_AUDIT_CHAINS


@workflow.defn(name=CHECKPOINT_AUDIT_CHAINS)
class CheckpointAuditChains:
    """Run by a schedule: what has grown is signed, what is broken is told."""

    @workflow.run
    async def run(self) -> CheckpointReport:
        report = await workflow.execute_activity_method(
            AuditCheckpointingActivities.checkpoint_chains,
            start_to_close_timeout=timedelta(hours=1),
            schedule_to_close_timeout=timedelta(minutes=100),
            heartbeat_timeout=timedelta(seconds=5),
            summary="verify and sign what has been added to the audit chains",
        )
        alarms = [f"BROKEN: {record.sentence}" for record in report.broken]
        signed = f"{report.written} chains signed, {report.unchanged} had not grown"
        workflow.set_current_details("\n\n".join([*alarms, signed]))
        return report
