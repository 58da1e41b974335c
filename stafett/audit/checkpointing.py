"""Signing of checkpoints for chains that have grown and are intact."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from stafett.audit.chain import ChainVerifier
from stafett.audit.checkpoint import Checkpoint, SigningKey
from stafett.audit.checkpoint_store import CheckpointStore
from stafett.audit.keys import load_signing_key, load_verification_keys
from stafett.audit.reader import ChainReader
from stafett.audit.results import VerificationResults
from stafett.audit.verification import AuditVerifier
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord, CheckpointReport
from stafett.settings import Settings

CheckpointClock = Callable[[], datetime]
_log = structlog.get_logger("stafett.audit")


def create_checkpointer(settings: Settings, maintenance_database: Database) -> "AuditCheckpointer | None":
    """Create the checkpointer from the settings, or return None if no signing key is configured."""
    key = load_signing_key(settings.audit)
    if key is None:
        return None
    checkpoint_store = CheckpointStore(settings.s3, settings.audit, load_verification_keys(settings.audit))
    return AuditCheckpointer(
        ChainReader(maintenance_database),
        checkpoint_store,
        VerificationResults(maintenance_database),
        key,
        partial(datetime.now, UTC),
    )


class AuditCheckpointer:
    """Signer of the organisations' chains. A broken chain is reported and does not block the others.

    A chain that was broken the last time is verified from its first event, before any of it is signed again.
    """

    def __init__(
        self,
        reader: ChainReader,
        checkpoint_store: CheckpointStore,
        results: VerificationResults,
        key: SigningKey,
        clock: CheckpointClock,
    ) -> None:
        self._reader = reader
        self._checkpoint_store = checkpoint_store
        self._results = results
        self._key = key
        self._clock = clock
        self._verifier = AuditVerifier(reader, checkpoint_store)

    def __call__(self, org_ids: list[str] | None = None) -> CheckpointReport:
        """Sign the chains of these organisations, or of all."""
        self._checkpoint_store.ensure_bucket()
        broken: list[BrokenRecord] = []
        written = unchanged = 0
        known_broken = {record.org_id for record in self._results.list_broken()}
        for org_id in self._verifier.list_organisations() if org_ids is None else org_ids:
            match (self._verify_whole_chain(org_id) if org_id in known_broken else None) or self._sign_chain(org_id):
                case BrokenRecord() as record:
                    _log.error("audit_chain_broken", org_id=org_id, seq=record.seq, reason=record.reason)
                    broken.append(record)
                case True:
                    written += 1
                case False:
                    unchanged += 1
        return CheckpointReport(written=written, unchanged=unchanged, broken_records=tuple(broken))

    def _sign_chain(self, org_id: str) -> BrokenRecord | bool:
        """Sign the chain and return True if it has grown since its last checkpoint, which covers the earlier events."""
        newest = self._checkpoint_store.load_newest_claims(org_id, self._reader.get_last_seq(org_id))
        signed = newest[-1].seq if newest else 0
        chain = ChainVerifier(org_id, newest, start_seq=max(signed, 1))
        with self._reader.read_events(org_id, start_seq=max(signed, 1)) as events:
            broken = chain.find_break(events)
        if broken is not None:
            return self._verify_whole_chain(org_id) or broken
        if chain.last_seq == signed or chain.last_hash is None:
            return False
        checkpoint = Checkpoint(
            org_id=org_id,
            seq=chain.last_seq,
            hash=chain.last_hash,
            count=chain.last_seq,
            verified_from=signed + 1,
            at=self._clock(),
            key_id=self._key.id,
        )
        self._checkpoint_store.put_checkpoint(checkpoint, self._key)
        return True

    def _verify_whole_chain(self, org_id: str) -> BrokenRecord | None:
        """Verify from the first event, store the result, and return the first broken record, if there is one."""
        verification = self._verifier.verify_chain(org_id)
        self._results.save(verification)
        return verification.broken
