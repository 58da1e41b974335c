"""Signing what has grown since the last time, and nothing that is not whole."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from stafett.audit.chain import Chain
from stafett.audit.checkpoint import Checkpoint, SigningKey
from stafett.audit.checkpoint_store import CheckpointVault
from stafett.audit.keys import signing_key, verification_keys
from stafett.audit.reader import ChainReader
from stafett.audit.verification import AuditVerification
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord, CheckpointReport
from stafett.settings import Settings

Clock = Callable[[], datetime]
_log = structlog.get_logger("stafett.audit")


def checkpointing(settings: Settings, maintenance: Database) -> "Checkpointing | None":
    """As the settings say; none without a key to sign with."""
    key = signing_key(settings.audit)
    if key is None:
        return None
    vault = CheckpointVault(settings.s3, settings.audit, verification_keys(settings.audit))
    retention = timedelta(days=settings.audit.retention_days)
    return Checkpointing(ChainReader(maintenance), vault, key, retention, partial(datetime.now, UTC))


class Checkpointing:
    """Every organisation by itself: a broken chain is reported, and the others are signed all the same."""

    def __init__(
        self, reader: ChainReader, vault: CheckpointVault, key: SigningKey, retention: timedelta, clock: Clock
    ) -> None:
        self._reader = reader
        self._vault = vault
        self._key = key
        self._retention = retention
        self._clock = clock
        self._verification = AuditVerification(reader, vault)

    def __call__(self, org_ids: list[str] | None = None) -> CheckpointReport:
        """Those that are named, or every organisation."""
        self._vault.ensure()
        broken: list[BrokenRecord] = []
        written = unchanged = 0
        for org_id in self._verification.organisations() if org_ids is None else org_ids:
            match self._sign(org_id):
                case BrokenRecord() as record:
                    _log.error("audit_chain_broken", org_id=org_id, seq=record.seq, what=record.reason)
                    broken.append(record)
                case True:
                    written += 1
                case False:
                    unchanged += 1
        return CheckpointReport(written=written, unchanged=unchanged, broken_records=tuple(broken))

    def _sign(self, org_id: str) -> BrokenRecord | bool:
        """Whether there was something to sign; what lies before the last checkpoint is held by that one."""
        newest = self._vault.newest_of(org_id, self._reader.head(org_id))
        signed = newest[-1].seq if newest else 0
        chain = Chain(org_id, newest, begin=max(signed, 1))
        with self._reader.events(org_id, begin=max(signed, 1)) as events:
            broken = chain.first_broken(events)
        if broken is not None:
            return self._verification.verify(org_id).broken or broken
        if chain.seq == signed or chain.hash is None:
            return False
        now = self._clock()
        said = Checkpoint(org_id=org_id, seq=chain.seq, hash=chain.hash, count=chain.seq, at=now, key_id=self._key.id)
        self._vault.put(said, self._key, now + self._retention)
        return True
