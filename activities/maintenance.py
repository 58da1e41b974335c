"""Scheduled activities: retention, the reconciliation of the bucket, and signed audit checkpoints."""

from collections.abc import Callable
from typing import NamedTuple

from temporalio import activity

from stafett.audit.checkpointing import AuditCheckpointer
from stafett.audit.scheduled_verification import ScheduledVerification
from stafett.domain.audit_chain import CheckpointReport, VerificationReport
from stafett.domain.errors import SettingsError
from stafett.domain.export_job import BucketReport, RetentionReport
from stafett.domain.maintenance import MaintenanceTask
from stafett.exports.bucket_reconciliation import BucketReconciliation
from stafett.exports.retention import Retention

RecordRun = Callable[[MaintenanceTask, int], None]
"""Records that a task has finished, and how many of its parts failed."""


class AuditTasks(NamedTuple):
    """What signs and verifies the audit chains; without a signing key there is no checkpointer."""

    checkpointer: AuditCheckpointer | None
    verification: ScheduledVerification


class MaintenanceActivities:
    """Cleans up, verifies and signs the audit chains, and records each run."""

    def __init__(
        self,
        retention: Retention,
        bucket_reconciliation: BucketReconciliation,
        audit: AuditTasks,
        delete_expired_sessions: Callable[[], None],
        record_run: RecordRun,
    ) -> None:
        self._retention = retention
        self._bucket_reconciliation = bucket_reconciliation
        self._audit = audit
        self._delete_expired_sessions = delete_expired_sessions
        self._record_run = record_run

    @activity.defn(no_thread_cancel_exception=True)
    def apply_retention(self) -> RetentionReport:
        self._delete_expired_sessions()
        report = self._retention.apply()
        self._record_run(MaintenanceTask.APPLY_RETENTION, report.errors)
        return report

    @activity.defn(no_thread_cancel_exception=True)
    def reconcile_bucket(self) -> BucketReport:
        report = self._bucket_reconciliation.reconcile()
        self._record_run(MaintenanceTask.RECONCILE_BUCKET, report.errors)
        return report

    @activity.defn
    def checkpoint_chains(self) -> CheckpointReport:
        if self._audit.checkpointer is None:
            raise SettingsError("This worker has no signing key: STAFETT_AUDIT__SIGNING_KEY is not set.")
        report = self._audit.checkpointer()
        self._record_run(MaintenanceTask.CHECKPOINT_AUDIT_CHAINS, len(report.broken_records))
        return report

    @activity.defn
    def verify_chains(self) -> VerificationReport:
        report = self._audit.verification()
        self._record_run(MaintenanceTask.VERIFY_AUDIT_CHAINS, len(report.broken_records))
        return report
