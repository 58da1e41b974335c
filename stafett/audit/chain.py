"""Verification of an organisation's hash chain, from its first event or from an event with a checkpoint.

Every hash is recomputed here from the fields in PostgreSQL's text format: the database itself is not trusted.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from stafett.domain.audit_chain import BrokenRecord

GENESIS_HASH = "0" * 64
_PARSE_ERRORS = (ValueError, RecursionError)
_encode_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class ChainEvent(NamedTuple):
    """An event as stored in the table. ``at`` (in UTC) and ``detail`` are in PostgreSQL's text format."""

    org_id: str
    seq: int
    id: str
    at: str
    actor: str
    event: str
    subject_kind: str
    subject_id: str
    status: str | None
    detail: str
    hash: str
    previous_hash: str


class CheckpointClaim(NamedTuple):
    """The hash that a checkpoint claims for an event, or the reason why the checkpoint is invalid."""

    seq: int
    hash: str = ""
    at: datetime | None = None
    error: str | None = None


class RestoreClaim(NamedTuple):
    """A valid declared restore: event ``seq`` survived, and later events up to ``lost_to`` are lost."""

    seq: int
    hash: str
    lost_to: int
    lost_at: datetime
    at: datetime

    def has_lost(self, claim: CheckpointClaim) -> bool:
        """Return whether the claim is about an event that the restore has lost. An invalid claim is a finding still."""
        return claim.at is not None and claim.seq > self.seq and claim.at <= self.lost_at


def select_live_claims(claims: Iterable[CheckpointClaim], restores: Iterable[RestoreClaim]) -> list[CheckpointClaim]:
    """Select the claims that the chain must match, in order: those that no restore has lost, and those of restores."""
    restores = list(restores)
    surviving = [CheckpointClaim(restore.seq, restore.hash, restore.at) for restore in restores if restore.seq]
    live = [claim for claim in (*claims, *surviving) if not any(restore.has_lost(claim) for restore in restores)]
    return sorted(live, key=lambda claim: claim.seq)


def compute_event_hash(event: ChainEvent) -> str:
    """Compute the SHA-256 of the event's canonical JSON (RFC 8785), like the SQL function ``append_audit_event``."""
    fields = event._asdict()
    del fields["hash"]
    fields["at"] = datetime.fromisoformat(event.at).isoformat(timespec="microseconds").replace("+00:00", "Z")
    fields["detail"] = json.loads(event.detail)
    return hashlib.sha256(_encode_canonical(fields).encode()).hexdigest()


class ChainVerifier:
    """Verifier of one chain. ``last_seq`` is the last event that was verified, and ``last_hash`` its hash."""

    def __init__(self, org_id: str, claims: Iterable[CheckpointClaim] = (), *, start_seq: int = 1) -> None:
        self.org_id = org_id
        self.last_seq = start_seq - 1
        self.last_hash = GENESIS_HASH if start_seq == 1 else None
        self._claims = deque(sorted((claim for claim in claims if claim.seq >= start_seq), key=lambda claim: claim.seq))
        self._confirmed_seq = self.last_seq

    def find_break(self, events: Iterable[ChainEvent]) -> BrokenRecord | None:
        """Verify the events in order, and return the first broken record, if there is one."""
        for event in events:
            if broken := self.check_next(event):
                return broken
        return self._find_truncation()

    def check_next(self, event: ChainEvent) -> BrokenRecord | None:
        """Verify that the event is the next one in the chain, and advance to it."""
        if event.seq > self.last_seq + 1:
            return self._to_broken_record(self.last_seq + 1, f"it is missing; the next event is {event.seq}")
        if reason := self._find_error(event):
            return self._to_broken_record(event.seq, reason)
        self.last_seq, self.last_hash = event.seq, event.hash
        return None

    def _find_error(self, event: ChainEvent) -> str | None:
        if event.seq < 1:
            return "its sequence number is below 1"
        if event.seq <= self.last_seq:
            return "its sequence number is duplicated"
        if self.last_hash is not None and event.previous_hash != self.last_hash:
            return "its previous_hash does not match the hash of the event before it"
        try:
            is_unchanged = compute_event_hash(event) == event.hash
        except _PARSE_ERRORS:
            is_unchanged = False
        if not is_unchanged:
            return "it was edited; its hash does not match its fields"
        return self._find_contradiction(event)

    def _find_contradiction(self, event: ChainEvent) -> str | None:
        while self._claims and self._claims[0].seq <= event.seq:
            claim = self._claims.popleft()
            if claim.error is not None:
                return claim.error
            if claim.hash != event.hash:
                return (
                    f"it differs from the event in the checkpoint of {_format_checkpoint_time(claim)};"
                    f" the chain was rewritten {self._describe_rewrite_start()}"
                )
            self._confirmed_seq = event.seq
        return None

    def _describe_rewrite_start(self) -> str:
        return (
            f"at some point after event {self._confirmed_seq}" if self._confirmed_seq else "at its first event or later"
        )

    def _find_truncation(self) -> BrokenRecord | None:
        """Return the first missing event if a checkpoint covers more events than the chain has."""
        if not self._claims:
            return None
        claim = self._claims[0]
        if claim.error is not None:
            return self._to_broken_record(claim.seq, claim.error)
        ends = f"ends with event {self.last_seq}" if self.last_seq else "has no events"
        return self._to_broken_record(
            self.last_seq + 1,
            f"it is missing; the chain {ends}, but the checkpoint of {_format_checkpoint_time(claim)} "
            f"covers event {claim.seq}",
        )

    def _to_broken_record(self, seq: int, reason: str) -> BrokenRecord:
        return BrokenRecord(org_id=self.org_id, seq=seq, reason=reason)


def _format_checkpoint_time(claim: CheckpointClaim) -> str:
    return f"{claim.at:%Y-%m-%dT%H:%M:%SZ}"
