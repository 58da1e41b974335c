"""Verification of a whole chain against its own hashes and against all of its checkpoints."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from stafett.audit.chain import ChainEvent, ChainVerifier
from stafett.audit.checkpoint_store import ChainClaims, CheckpointStore
from stafett.audit.keys import load_verification_keys
from stafett.audit.reader import ChainReader
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord, DeclaredRestore
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.frozen import FrozenModel
from stafett.settings import Settings

EVENTS_PER_PROGRESS_REPORT = 5_000
VerificationProgressCallback = Callable[[int, int], None]


class ChainVerification(FrozenModel):
    """Result for one chain. ``unchecked`` is the reason why it was not compared with checkpoints, if it was not."""

    org_id: str
    events: int
    last_seq: int
    checkpoints: int | None
    newest_checkpoint_at: datetime | None
    broken: BrokenRecord | None
    unchecked: str | None
    restores: tuple[DeclaredRestore, ...] = ()


def create_audit_verifier(settings: Settings, maintenance_database: Database) -> "AuditVerifier":
    """Create the verifier from the settings. Without verification keys, checkpoints are not read."""
    keys = load_verification_keys(settings.audit)
    checkpoint_store = CheckpointStore(settings.s3, settings.audit, keys) if keys else None
    return AuditVerifier(ChainReader(maintenance_database), checkpoint_store)


class AuditVerifier:
    """Verifier of chains. Without a checkpoint store, only the hashes of a chain are verified."""

    def __init__(self, reader: ChainReader, checkpoint_store: CheckpointStore | None) -> None:
        self._reader = reader
        self._checkpoint_store = checkpoint_store

    @property
    def reads_checkpoints(self) -> bool:
        """Whether there are keys, so that a chain that was not compared with its checkpoints is unfinished work."""
        return self._checkpoint_store is not None

    def list_organisations(self) -> list[str]:
        """List the organisations that have a chain, or have a checkpoint of one."""
        org_ids = set(self._reader.list_organisations())
        try:
            return sorted(org_ids | set(self._checkpoint_store.list_organisations() if self._checkpoint_store else ()))
        except ServiceUnavailableError:
            return sorted(org_ids)

    def verify_chain(
        self, org_id: str, report_progress: VerificationProgressCallback = lambda _done, _total: None
    ) -> ChainVerification:
        """Verify a chain. The checkpoints are loaded first, so that none is newer than the events read afterwards."""
        loaded, unchecked = self._load_claims(org_id)
        claims, restores = (None, ()) if loaded is None else loaded
        chain, last_seq = ChainVerifier(org_id, claims or ()), self._reader.get_last_seq(org_id)
        counter = _EventCounter(lambda done: report_progress(done, last_seq))
        with self._reader.read_events(org_id) as events:
            broken = chain.find_break(counter.count_events(events))
        return ChainVerification(
            org_id=org_id,
            events=counter.events,
            last_seq=counter.last_seq,
            checkpoints=None if claims is None else len(claims),
            newest_checkpoint_at=max((claim.at for claim in claims or () if claim.at), default=None),
            broken=broken,
            unchecked=unchecked,
            restores=restores,
        )

    def _load_claims(self, org_id: str) -> tuple[ChainClaims | None, str | None]:
        if self._checkpoint_store is None:
            return None, "No verification keys are configured (STAFETT_AUDIT__VERIFICATION_KEYS)."
        try:
            return self._checkpoint_store.load_claims(org_id), None
        except ServiceUnavailableError as error:
            return None, str(error)


class _EventCounter:
    """Counter of the events read, which reports the progress."""

    def __init__(self, report_progress: Callable[[int], None]) -> None:
        self._report_progress = report_progress
        self.events = self.last_seq = 0

    def count_events(self, events: Iterable[ChainEvent]) -> Iterator[ChainEvent]:
        for event in events:
            self.events, self.last_seq = self.events + 1, event.seq
            if self.events % EVENTS_PER_PROGRESS_REPORT == 0:
                self._report_progress(self.events)
            yield event
