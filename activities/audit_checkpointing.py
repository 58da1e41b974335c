from temporalio import activity

from stafett.audit.checkpointing import Checkpointing
from stafett.domain.audit_chain import CheckpointReport
from stafett.domain.errors import SettingsError


class AuditCheckpointingActivities:
    """Signs the audit chains, if this worker has the key to do it with."""

    def __init__(self, checkpointing: Checkpointing | None) -> None:
        self._checkpointing = checkpointing

    @activity.defn
    def checkpoint_chains(self) -> CheckpointReport:
        if self._checkpointing is None:
            raise SettingsError("This worker has no key to sign with: STAFETT_AUDIT__SIGNING_KEY is not set.")
        return self._checkpointing()
