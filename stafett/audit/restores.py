"""Declared restores: after PostgreSQL was restored to an earlier moment, a signed statement names the lost events."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from stafett.audit.chain import GENESIS_HASH, ChainEvent, ChainVerifier, CheckpointClaim
from stafett.audit.checkpoint import RestoreDeclaration, SigningKey
from stafett.audit.checkpoint_store import CheckpointStore
from stafett.audit.checkpointing import CheckpointClock
from stafett.audit.keys import load_signing_key, load_verification_keys
from stafett.audit.reader import ChainReader
from stafett.database.session import Database
from stafett.domain.audit_chain import DeclaredRestore
from stafett.domain.errors import InvalidStateError
from stafett.settings import Settings


def create_restore_declarer(settings: Settings, maintenance_database: Database) -> "RestoreDeclarer | None":
    """Create the declarer from the settings, or return None if no signing key is configured."""
    key = load_signing_key(settings.audit)
    if key is None:
        return None
    checkpoint_store = CheckpointStore(settings.s3, settings.audit, load_verification_keys(settings.audit))
    return RestoreDeclarer(ChainReader(maintenance_database), checkpoint_store, key, partial(datetime.now, UTC))


class _SurvivingEvent(NamedTuple):
    """The last event that the restore has left."""

    seq: int
    hash: str


class RestoreDeclarer:
    """Finds which signed events of a chain a restore has lost, and signs that they are."""

    def __init__(
        self, reader: ChainReader, checkpoint_store: CheckpointStore, key: SigningKey, clock: CheckpointClock
    ) -> None:
        self._reader = reader
        self._checkpoint_store = checkpoint_store
        self._key = key
        self._clock = clock

    def find_lost_events(self, org_id: str) -> RestoreDeclaration | None:
        """Return what there is to declare, or None if the chain matches its checkpoints.

        Raise if a restore does not explain why it does not match: then events were changed.
        """
        claims = self._checkpoint_store.load_claims(org_id).live
        if self._matches(org_id, claims):
            return None
        newest_at = max((claim.at for claim in claims if claim.at is not None), default=None)
        if newest_at is None:
            raise InvalidStateError(f"The chain of {org_id} is broken, and it has no valid checkpoint.")
        last_signed_seq = max(claim.seq for claim in claims)
        surviving = self._find_surviving_event(org_id, last_signed_seq, newest_at)
        surviving_claims = [claim for claim in claims if claim.error is not None or claim.seq <= surviving.seq]
        if last_signed_seq <= surviving.seq or not self._matches(org_id, surviving_claims):
            raise InvalidStateError(
                f"The chain of {org_id} is broken, but not as a restore would break it: `stafett audit verify` names "
                f"the first broken event."
            )
        return RestoreDeclaration(
            org_id=org_id,
            seq=surviving.seq,
            hash=surviving.hash,
            lost_to=last_signed_seq,
            lost_at=newest_at,
            at=self._clock(),
            key_id=self._key.id,
        )

    def declare(self, declaration: RestoreDeclaration) -> DeclaredRestore:
        """Sign and store the declaration, with which signing continues after the surviving events."""
        self._checkpoint_store.put_restore(declaration, self._key)
        return declaration.to_declared_restore()

    def _matches(self, org_id: str, claims: Iterable[CheckpointClaim]) -> bool:
        with self._reader.read_events(org_id) as events:
            return ChainVerifier(org_id, claims).find_break(events) is None

    def _find_surviving_event(self, org_id: str, last_signed_seq: int, newest_at: datetime) -> _SurvivingEvent:
        """Find the last event from before the newest checkpoint: events of the same numbers that are later are new."""
        surviving = _SurvivingEvent(0, GENESIS_HASH)
        with self._reader.read_events(org_id) as events:
            for event in _take_older(events, last_signed_seq, newest_at):
                surviving = _SurvivingEvent(event.seq, event.hash)
        return surviving


def _take_older(events: Iterator[ChainEvent], last_seq: int, at: datetime) -> Iterator[ChainEvent]:
    return takewhile(lambda event: event.seq <= last_seq and datetime.fromisoformat(event.at) <= at, events)
