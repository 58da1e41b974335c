"""Scheduled activities: retention, the reconciliation of the bucket, and signed audit checkpoints."""

from collections.abc import Callable

from temporalio import activity

from stafett.audit.checkpointing import AuditCheckpointer
from stafett.audit.scheduled_verification import ScheduledVerification
from stafett.domain.audit_chain import CheckpointReport, VerificationReport
from stafett.domain.errors import SettingsError
from stafett.domain.export_job import BucketReport, RetentionReport
from stafett.exports.bucket_reconciliation import BucketReconciliation
from stafett.exports.retention import Retention


class MaintenanceActivities:
    """Cleans up, verifies and signs the audit chains; without a signing key there is no checkpointer."""

    def __init__(
        self,
        retention: Retention,
        bucket_reconciliation: BucketReconciliation,
        checkpointer: AuditCheckpointer | None,
        verification: ScheduledVerification,
        delete_expired_sessions: Callable[[], None],
    ) -> None:
        self._retention = retention
        self._bucket_reconciliation = bucket_reconciliation
        self._checkpointer = checkpointer
        self._verification = verification
        self._delete_expired_sessions = delete_expired_sessions

    @activity.defn(no_thread_cancel_exception=True)
    def apply_retention(self) -> RetentionReport:
        self._delete_expired_sessions()
        return self._retention.apply()

    @activity.defn(no_thread_cancel_exception=True)
    def reconcile_bucket(self) -> BucketReport:
        return self._bucket_reconciliation.reconcile()

    @activity.defn
    def checkpoint_chains(self) -> CheckpointReport:
        if self._checkpointer is None:
            raise SettingsError("This worker has no signing key: STAFETT_AUDIT__SIGNING_KEY is not set.")
        return self._checkpointer()

    @activity.defn
    def verify_chains(self) -> VerificationReport:
        return self._verification()
