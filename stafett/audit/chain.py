"""One organisation's chain of events, gone along from its beginning, or from an event that a checkpoint knows.

Every hash is made anew from the fields as PostgreSQL shows them as text. What the database computes is not asked.
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
    """An event as it stands in the table; ``at`` and ``detail`` as PostgreSQL writes them, in UTC."""

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
    """What a checkpoint says of one event; or, if it is none of ours, what is wrong with it."""

    seq: int
    hash: str = ""
    at: datetime | None = None
    error: str | None = None


def compute_event_hash(event: ChainEvent) -> str:
    """SHA-256 over the event's canonical JSON (RFC 8785), as ``append_audit_event`` makes it."""
    said = event._asdict()
    del said["hash"]
    said["at"] = datetime.fromisoformat(event.at).isoformat(timespec="microseconds").replace("+00:00", "Z")
    said["detail"] = json.loads(event.detail)
    return hashlib.sha256(_encode_canonical(said).encode()).hexdigest()


class ChainVerifier:
    """Where one stands in a chain: ``seq`` is the last event that was found whole, ``hash`` its hash."""

    def __init__(self, org_id: str, claims: Iterable[CheckpointClaim] = (), *, start_seq: int = 1) -> None:
        self.org_id = org_id
        self.last_seq = start_seq - 1
        self.last_hash = GENESIS_HASH if start_seq == 1 else None
        self._claims = deque(sorted((one for one in claims if one.seq >= start_seq), key=lambda one: one.seq))
        self._confirmed_seq = self.last_seq

    def find_break(self, events: Iterable[ChainEvent]) -> BrokenRecord | None:
        """Go along to the end, or to the first record that is not as it was written."""
        for event in events:
            if broken := self.check_next(event):
                return broken
        return self._find_truncation()

    def check_next(self, event: ChainEvent) -> BrokenRecord | None:
        """One step on, if the event is the next one."""
        if event.seq > self.last_seq + 1:
            return self._to_broken_record(self.last_seq + 1, f"it is missing; what comes next is event {event.seq}")
        if what := self._find_error(event):
            return self._to_broken_record(event.seq, what)
        self.last_seq, self.last_hash = event.seq, event.hash
        return None

    def _find_error(self, event: ChainEvent) -> str | None:
        if event.seq < 1:
            return "there is no event before the first"
        if event.seq <= self.last_seq:
            return "it is there more than once"
        if self.last_hash is not None and event.previous_hash != self.last_hash:
            return "it does not follow the event before it, for its previous_hash is another one's"
        try:
            is_as_written = compute_event_hash(event) == event.hash
        except _PARSE_ERRORS:
            is_as_written = False
        if not is_as_written:
            return "it was edited, for its hash is not that of its fields"
        return self._find_contradiction(event)

    def _find_contradiction(self, event: ChainEvent) -> str | None:
        while self._claims and self._claims[0].seq <= event.seq:
            seen = self._claims.popleft()
            if seen.error is not None:
                return seen.error
            if seen.hash != event.hash:
                return (
                    f"it is not the event that the checkpoint of {_format_checkpoint_time(seen)} knows;"
                    f" the chain was rewritten {self._describe_rewrite_start()}"
                )
            self._confirmed_seq = event.seq
        return None

    def _describe_rewrite_start(self) -> str:
        return (
            f"from some event after {self._confirmed_seq} on"
            if self._confirmed_seq
            else "from its first event or later on"
        )

    def _find_truncation(self) -> BrokenRecord | None:
        """Whether somebody has seen more than there is."""
        if not self._claims:
            return None
        seen = self._claims[0]
        if seen.error is not None:
            return self._to_broken_record(seen.seq, seen.error)
        ends = f"ends with event {self.last_seq}" if self.last_seq else "has no event at all"
        return self._to_broken_record(
            self.last_seq + 1,
            f"it is missing; the chain {ends}, and the checkpoint of {_format_checkpoint_time(seen)} "
            f"knows event {seen.seq}",
        )

    def _to_broken_record(self, seq: int, reason: str) -> BrokenRecord:
        return BrokenRecord(org_id=self.org_id, seq=seq, reason=reason)


def _format_checkpoint_time(claim: CheckpointClaim) -> str:
    return f"{claim.at:%Y-%m-%dT%H:%M:%SZ}"
