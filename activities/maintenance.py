"""Scheduled activities: retention and signed audit checkpoints."""

from temporalio import activity

from stafett.audit.checkpointing import AuditCheckpointer
from stafett.domain.audit_chain import CheckpointReport
from stafett.domain.errors import SettingsError
from stafett.domain.export_job import RetentionReport
from stafett.exports.retention import Retention


class RetentionActivities:
    """Removes what is kept no longer."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention

    @activity.defn(no_thread_cancel_exception=True)
    def apply_retention(self) -> RetentionReport:
        return self._retention.apply()


class CheckpointActivities:
    """Signs the audit chains, if this worker has the key to do it with."""

    def __init__(self, checkpointing: AuditCheckpointer | None) -> None:
        self._checkpointing = checkpointing

    @activity.defn
    def checkpoint_chains(self) -> CheckpointReport:
        if self._checkpointing is None:
            raise SettingsError("This worker has no key to sign with: STAFETT_AUDIT__SIGNING_KEY is not set.")
        return self._checkpointing()
