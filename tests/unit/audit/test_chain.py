"""Verification of audit chains: every change is found and reported at the first event that it concerns."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.audit.chain import GENESIS_HASH, ChainEvent, ChainVerifier, CheckpointClaim, compute_event_hash
from stafett.domain.audit_chain import BrokenRecord

ORG = "nhf"
SIGNED_AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
_WORDS = st.text("abcæøå \"\\\n{}:,'-", max_size=6)
_DETAILS = st.dictionaries(st.text("abc_", min_size=1), st.none() | st.booleans() | st.integers() | _WORDS)
_TIMESTAMPS = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - PostgreSQL writes them in UTC


def as_text(detail: Mapping[str, object]) -> str:
    """Format the detail as jsonb does: with a blank after each separator, and in an order of its own."""
    return json.dumps(dict(reversed(list(detail.items()))), ensure_ascii=False)


def link_event(event: ChainEvent, previous_hash: str) -> ChainEvent:
    linked = event._replace(previous_hash=previous_hash)
    return linked._replace(hash=compute_event_hash(linked))


def link_events(events: list[ChainEvent], previous_hash: str) -> list[ChainEvent]:
    """Hash the events again, as an attacker who knows the format would."""
    linked: list[ChainEvent] = []
    for event in events:
        linked.append(link_event(event, linked[-1].hash if linked else previous_hash))
    return linked


@st.composite
def chains(draw: st.DrawFn, min_length: int = 1) -> list[ChainEvent]:
    length = draw(st.integers(min_length, 8))
    events = [
        ChainEvent(
            org_id=ORG,
            seq=seq,
            id=str(draw(st.uuids())),
            at=f"{draw(_TIMESTAMPS)}+00",
            actor=f"user:{UUID(int=seq)}",
            event=draw(st.sampled_from(["stage_started", "export_completed"])),
            subject_kind="export",
            subject_id=str(draw(st.uuids())),
            status=draw(st.none() | st.just("completed")),
            detail=as_text(draw(_DETAILS)),
            hash="",
            previous_hash="",
        )
        for seq in range(1, length + 1)
    ]
    return link_events(events, GENESIS_HASH)


def make_claim(event: ChainEvent) -> CheckpointClaim:
    return CheckpointClaim(event.seq, event.hash, SIGNED_AT)


def find_break(events: list[ChainEvent], *claims: CheckpointClaim) -> BrokenRecord | None:
    return ChainVerifier(ORG, claims).find_break(events)


def seq_of(record: BrokenRecord | None) -> int | None:
    return record.seq if record else None


EDITS: dict[str, st.SearchStrategy[object]] = {
    "org_id": st.just("hlf"),
    "id": st.uuids().map(str),
    "at": _TIMESTAMPS.map(lambda at: f"{at}+00") | st.sampled_from(["infinity", "2026-01-01 00:00:00+00 BC", "x"]),
    "actor": _WORDS,
    "event": _WORDS,
    "subject_kind": _WORDS,
    "subject_id": st.uuids().map(str),
    "status": st.none() | _WORDS,
    "detail": _DETAILS.map(as_text) | st.sampled_from(['{"a": 1.0}', "{", '{"a": 1e400}', "[" * 100_000]),
    "hash": st.just("f" * 64),
    "previous_hash": st.just("f" * 64),
}


@given(chains(min_length=0), st.data())
def test_every_unchanged_chain_is_valid(events: list[ChainEvent], data: st.DataObject) -> None:
    checkpointed = data.draw(st.lists(st.sampled_from(events))) if events else []
    assert find_break(events, *map(make_claim, checkpointed)) is None


@pytest.mark.parametrize("field", EDITS)
@given(chains(), st.data())
def test_every_edit_of_a_field_is_found_at_the_edited_event(
    field: str, events: list[ChainEvent], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(events) - 1))
    edited = ChainEvent(**(events[index]._asdict() | {field: data.draw(EDITS[field])}))
    if field == "detail" and _same_json(edited.detail, events[index].detail):
        return
    if edited == events[index]:
        return
    assert seq_of(find_break([*events[:index], edited, *events[index + 1 :]])) == index + 1


def _same_json(one: str, other: str) -> bool:
    try:
        return bool(repr(json.loads(one)) == repr(json.loads(other)))
    except (ValueError, RecursionError):
        return False


@given(chains(min_length=2), st.data())
def test_every_removal_is_found_at_the_removed_event(events: list[ChainEvent], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(events) - 2))
    record = find_break(events[:index] + events[index + 1 :])
    assert seq_of(record) == index + 1
    assert record is not None
    assert "missing" in record.reason


@given(chains(min_length=2), st.data())
def test_removal_with_renumbering_is_found_at_the_removed_event(events: list[ChainEvent], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(events) - 2))
    moved = [event._replace(seq=event.seq - 1) for event in events[index + 1 :]]
    assert seq_of(find_break(events[:index] + moved)) == index + 1


@given(chains(min_length=2), st.data())
def test_every_reordering_is_found_at_the_first_moved_event(events: list[ChainEvent], data: st.DataObject) -> None:
    order = data.draw(st.permutations(events).filter(lambda order: order != events))
    renumbered = [event._replace(seq=seq) for seq, event in enumerate(order, 1)]
    first = next(index for index, event in enumerate(events) if order[index] != event)
    assert seq_of(find_break(renumbered)) == first + 1


@given(chains(), st.data())
def test_duplicated_event_is_found_at_the_duplicate(events: list[ChainEvent], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(events) - 1))
    assert seq_of(find_break(events[: index + 1] + events[index:])) == index + 1


@given(chains(), st.data())
def test_every_truncation_is_found_by_a_checkpoint_beyond_it(events: list[ChainEvent], data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(events) - 1))
    checkpointed = data.draw(st.integers(length, len(events) - 1))
    assert find_break(events[:length]) is None
    record = find_break(events[:length], make_claim(events[checkpointed]))
    assert seq_of(record) == length + 1
    assert record is not None
    assert f"covers event {checkpointed + 1}" in record.reason


@given(chains(), st.data())
def test_every_rewritten_chain_is_found_by_the_first_later_checkpoint(
    events: list[ChainEvent], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(events) - 1))
    checkpointed = sorted(data.draw(st.sets(st.integers(0, len(events) - 1))))
    forged = events[index]._replace(actor="user:forger")
    rewritten = events[:index] + link_events([forged, *events[index + 1 :]], events[index].previous_hash)
    covering = [number + 1 for number in checkpointed if number >= index]
    claims = [make_claim(events[number]) for number in checkpointed]
    assert seq_of(find_break(rewritten, *claims)) == (covering[0] if covering else None)


@given(chains(), st.data())
def test_invalid_checkpoint_is_reported_at_its_position(events: list[ChainEvent], data: st.DataObject) -> None:
    index = data.draw(st.integers(1, len(events) + 3))
    record = find_break(events, CheckpointClaim(index, error="its checkpoint is malformed"))
    assert record == BrokenRecord(org_id=ORG, seq=index, reason="its checkpoint is malformed")


@given(chains(min_length=2), st.data())
def test_verification_can_start_at_a_checkpoint(events: list[ChainEvent], data: st.DataObject) -> None:
    start = data.draw(st.integers(1, len(events)))
    chain = ChainVerifier(ORG, map(make_claim, events), start_seq=start)
    assert chain.find_break(events[start - 1 :]) is None
    assert (chain.last_seq, chain.last_hash) == (len(events), events[-1].hash)
    forged = link_event(events[start - 1]._replace(actor="x"), events[start - 1].previous_hash)
    verifier = ChainVerifier(ORG, map(make_claim, events), start_seq=start)
    assert seq_of(verifier.find_break([forged, *events[start:]])) == start


def test_hash_is_the_one_of_the_specification() -> None:
    """Computed by hand: the SHA-256 of the fields in the canonical form of RFC 8785."""
    event = ChainEvent(
        *("nhf", 7, str(UUID(int=1)), "2026-07-01 12:00:00.5+00", "user:ø", "link_issued", "export", str(UUID(int=2))),
        *(None, '{"b": 2, "a": "å\\n\\u0001"}', "", GENESIS_HASH),
    )
    canonical = (
        '{"actor":"user:ø","at":"2026-07-01T12:00:00.500000Z","detail":{"a":"å\\n\\u0001","b":2},"event":"link_issued",'
        f'"id":"{UUID(int=1)}","org_id":"nhf","previous_hash":"{GENESIS_HASH}","seq":7,"status":null,'
        f'"subject_id":"{UUID(int=2)}","subject_kind":"export"}}'
    )
    assert compute_event_hash(event) == hashlib.sha256(canonical.encode()).hexdigest()


def test_break_is_described_in_one_sentence() -> None:
    record = ChainVerifier(ORG, [CheckpointClaim(3, "a" * 64, SIGNED_AT + timedelta(hours=1))]).find_break([])
    assert record is not None
    assert record.message == (
        "Event 1 of nhf: it is missing; the chain has no events,"
        " but the checkpoint of 2026-07-01T13:00:00Z covers event 3."
    )
