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

BEFORE_THE_FIRST = "0" * 64
_UNREADABLE = (ValueError, RecursionError)
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


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


class Sighting(NamedTuple):
    """What a checkpoint says of one event; or, if it is none of ours, what is wrong with it."""

    seq: int
    hash: str = ""
    at: datetime | None = None
    fault: str | None = None


def hash_of(event: ChainEvent) -> str:
    """SHA-256 over the event's canonical JSON (RFC 8785), as ``append_audit_event`` makes it."""
    said = event._asdict()
    del said["hash"]
    said["at"] = datetime.fromisoformat(event.at).isoformat(timespec="microseconds").replace("+00:00", "Z")
    said["detail"] = json.loads(event.detail)
    return hashlib.sha256(_canonical(said).encode()).hexdigest()


class Chain:
    """Where one stands in a chain: ``seq`` is the last event that was found whole, ``hash`` its hash."""

    def __init__(self, org_id: str, sightings: Iterable[Sighting] = (), *, begin: int = 1) -> None:
        self.org_id = org_id
        self.seq = begin - 1
        self.hash = BEFORE_THE_FIRST if begin == 1 else None
        self._sightings = deque(sorted((one for one in sightings if one.seq >= begin), key=lambda one: one.seq))
        self._confirmed = self.seq

    def first_broken(self, events: Iterable[ChainEvent]) -> BrokenRecord | None:
        """Go along to the end, or to the first record that is not as it was written."""
        for event in events:
            if broken := self.add(event):
                return broken
        return self._cut_off()

    def add(self, event: ChainEvent) -> BrokenRecord | None:
        """One step on, if the event is the next one."""
        if event.seq > self.seq + 1:
            return self._broken(self.seq + 1, f"it is missing; what comes next is event {event.seq}")
        if what := self._wrong_with(event):
            return self._broken(event.seq, what)
        self.seq, self.hash = event.seq, event.hash
        return None

    def _wrong_with(self, event: ChainEvent) -> str | None:
        if event.seq < 1:
            return "there is no event before the first"
        if event.seq <= self.seq:
            return "it is there more than once"
        if self.hash is not None and event.previous_hash != self.hash:
            return "it does not follow the event before it, for its previous_hash is another one's"
        try:
            is_as_written = hash_of(event) == event.hash
        except _UNREADABLE:
            is_as_written = False
        if not is_as_written:
            return "it was edited, for its hash is not that of its fields"
        return self._unlike_what_was_seen(event)

    def _unlike_what_was_seen(self, event: ChainEvent) -> str | None:
        while self._sightings and self._sightings[0].seq <= event.seq:
            seen = self._sightings.popleft()
            if seen.fault is not None:
                return seen.fault
            if seen.hash != event.hash:
                return (
                    f"it is not the event that the checkpoint of {_moment(seen)} knows;"
                    f" the chain was rewritten {self._since()}"
                )
            self._confirmed = event.seq
        return None

    def _since(self) -> str:
        return f"from some event after {self._confirmed} on" if self._confirmed else "from its first event or later on"

    def _cut_off(self) -> BrokenRecord | None:
        """Whether somebody has seen more than there is."""
        if not self._sightings:
            return None
        seen = self._sightings[0]
        if seen.fault is not None:
            return self._broken(seen.seq, seen.fault)
        ends = f"ends with event {self.seq}" if self.seq else "has no event at all"
        return self._broken(
            self.seq + 1,
            f"it is missing; the chain {ends}, and the checkpoint of {_moment(seen)} knows event {seen.seq}",
        )

    def _broken(self, seq: int, what: str) -> BrokenRecord:
        return BrokenRecord(org_id=self.org_id, seq=seq, reason=what)


def _moment(seen: Sighting) -> str:
    return f"{seen.at:%Y-%m-%dT%H:%M:%SZ}"
