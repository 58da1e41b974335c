"""Scheduled activities: retention and signed audit checkpoints."""

from temporalio import activity

from stafett.audit.checkpointing import AuditCheckpointer
from stafett.domain.audit_chain import CheckpointReport
from stafett.domain.errors import SettingsError
from stafett.domain.export_job import RetentionReport
from stafett.exports.retention import Retention


class MaintenanceActivities:
    """Applies retention and signs the audit chains; without a signing key there is no checkpointer."""

    def __init__(self, retention: Retention, checkpointer: AuditCheckpointer | None) -> None:
        self._retention = retention
        self._checkpointer = checkpointer

    @activity.defn(no_thread_cancel_exception=True)
    def apply_retention(self) -> RetentionReport:
        return self._retention.apply()

    @activity.defn
    def checkpoint_chains(self) -> CheckpointReport:
        if self._checkpointer is None:
            raise SettingsError("This worker has no signing key: STAFETT_AUDIT__SIGNING_KEY is not set.")
        return self._checkpointer()
