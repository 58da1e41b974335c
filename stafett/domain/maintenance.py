"""Scheduled maintenance of the whole service."""

from enum import StrEnum


class MaintenanceTask(StrEnum):
    """Ids of the Temporal Schedules, which are also the names of the tasks in metrics and alerts."""

    SWEEP_JOBS = "sweep-jobs"
    APPLY_RETENTION = "apply-retention"
    RECONCILE_BUCKET = "reconcile-bucket"
    CHECKPOINT_AUDIT_CHAINS = "checkpoint-audit-chains"
    VERIFY_AUDIT_CHAINS = "verify-audit-chains"
