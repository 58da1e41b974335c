"""A chain held against itself from its first event on, and against every checkpoint that was ever signed of it."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from stafett.audit.chain import ChainEvent, ChainVerifier, CheckpointClaim
from stafett.audit.checkpoint_store import CheckpointStore
from stafett.audit.keys import load_verification_keys
from stafett.audit.reader import ChainReader
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.frozen import FrozenModel
from stafett.settings import Settings

EVENTS_PER_PROGRESS_REPORT = 5_000
VerificationProgressCallback = Callable[[int, int], None]


class ChainVerification(FrozenModel):
    """What was found of one chain; ``unchecked`` says why it was held against no checkpoints."""

    org_id: str
    events: int
    last_seq: int
    checkpoints: int | None
    newest_checkpoint_at: datetime | None
    broken: BrokenRecord | None
    unchecked: str | None


def create_audit_verifier(settings: Settings, maintenance_database: Database) -> "AuditVerifier":
    """As the settings say; without any key no checkpoint is asked for."""
    keys = load_verification_keys(settings.audit)
    vault = CheckpointStore(settings.s3, settings.audit, keys) if keys else None
    return AuditVerifier(ChainReader(maintenance_database), vault)


class AuditVerifier:
    """Without a vault a chain is held against itself alone."""

    def __init__(self, reader: ChainReader, checkpoint_store: CheckpointStore | None) -> None:
        self._reader = reader
        self._checkpoint_store = checkpoint_store

    def list_organisations(self) -> list[str]:
        """Everybody who has, or ever had, a chain."""
        known = set(self._reader.list_organisations())
        try:
            return sorted(known | set(self._checkpoint_store.list_organisations() if self._checkpoint_store else ()))
        except ServiceUnavailableError:
            return sorted(known)

    def verify_chain(
        self, org_id: str, report_progress: VerificationProgressCallback = lambda _done, _total: None
    ) -> ChainVerification:
        """The checkpoints are read first, so that none of them can know more than the chain that is then gone along."""
        sightings, unchecked = self._load_claims(org_id)
        chain, head = ChainVerifier(org_id, sightings or ()), self._reader.get_last_seq(org_id)
        counted = _EventCounter(lambda done: report_progress(done, head))
        with self._reader.read_events(org_id) as events:
            broken = chain.find_break(counted.count_events(events))
        return ChainVerification(
            org_id=org_id,
            events=counted.events,
            last_seq=counted.last_seq,
            checkpoints=None if sightings is None else len(sightings),
            newest_checkpoint_at=max((one.at for one in sightings or () if one.at), default=None),
            broken=broken,
            unchecked=unchecked,
        )

    def _load_claims(self, org_id: str) -> tuple[list[CheckpointClaim] | None, str | None]:
        if self._checkpoint_store is None:
            return None, "No key is named that checkpoints could be verified with (STAFETT_AUDIT__VERIFICATION_KEYS)."
        try:
            return self._checkpoint_store.load_claims(org_id), None
        except ServiceUnavailableError as away:
            return None, str(away)


class _EventCounter:
    """How far one has come."""

    def __init__(self, report_progress: Callable[[int], None]) -> None:
        self._report_progress = report_progress
        self.events = self.last_seq = 0

    def count_events(self, events: Iterable[ChainEvent]) -> Iterator[ChainEvent]:
        for event in events:
            self.events, self.last_seq = self.events + 1, event.seq
            if self.events % EVENTS_PER_PROGRESS_REPORT == 0:
                self._report_progress(self.events)
            yield event
