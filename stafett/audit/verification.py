"""A chain held against itself from its first event on, and against every checkpoint that was ever signed of it."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from stafett.audit.chain import Chain, ChainEvent, Sighting
from stafett.audit.checkpoint_store import CheckpointVault
from stafett.audit.keys import verification_keys
from stafett.audit.reader import ChainReader
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.frozen import FrozenModel
from stafett.settings import Settings

EVENTS_A_STEP = 5_000
Told = Callable[[int, int], None]


class ChainFound(FrozenModel):
    """What was found of one chain; ``unchecked`` says why it was held against no checkpoints."""

    org_id: str
    events: int
    last_seq: int
    checkpoints: int | None
    newest_checkpoint_at: datetime | None
    broken: BrokenRecord | None
    unchecked: str | None


def verification(settings: Settings, maintenance: Database) -> "AuditVerification":
    """As the settings say; without any key no checkpoint is asked for."""
    keys = verification_keys(settings.audit)
    vault = CheckpointVault(settings.s3, settings.audit, keys) if keys else None
    return AuditVerification(ChainReader(maintenance), vault)


class AuditVerification:
    """Without a vault a chain is held against itself alone."""

    def __init__(self, reader: ChainReader, vault: CheckpointVault | None) -> None:
        self._reader = reader
        self._vault = vault

    def organisations(self) -> list[str]:
        """Everybody who has, or ever had, a chain."""
        known = set(self._reader.organisations())
        try:
            return sorted(known | set(self._vault.organisations() if self._vault else ()))
        except ServiceUnavailableError:
            return sorted(known)

    def verify(self, org_id: str, told: Told = lambda _done, _total: None) -> ChainFound:
        """The checkpoints are read first, so that none of them can know more than the chain that is then gone along."""
        sightings, unchecked = self._sightings(org_id)
        chain, head = Chain(org_id, sightings or ()), self._reader.head(org_id)
        counted = _Counted(lambda done: told(done, head))
        with self._reader.events(org_id) as events:
            broken = chain.first_broken(counted.of(events))
        return ChainFound(
            org_id=org_id,
            events=counted.events,
            last_seq=counted.last_seq,
            checkpoints=None if sightings is None else len(sightings),
            newest_checkpoint_at=max((one.at for one in sightings or () if one.at), default=None),
            broken=broken,
            unchecked=unchecked,
        )

    def _sightings(self, org_id: str) -> tuple[list[Sighting] | None, str | None]:
        if self._vault is None:
            return None, "No key is named that checkpoints could be verified with (STAFETT_AUDIT__VERIFICATION_KEYS)."
        try:
            return self._vault.all_of(org_id), None
        except ServiceUnavailableError as away:
            return None, str(away)


class _Counted:
    """How far one has come."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self.events = self.last_seq = 0

    def of(self, events: Iterable[ChainEvent]) -> Iterator[ChainEvent]:
        for event in events:
            self.events, self.last_seq = self.events + 1, event.seq
            if self.events % EVENTS_A_STEP == 0:
                self._told(self.events)
            yield event
