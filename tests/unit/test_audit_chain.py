"""Whoever changes a chain is found out, and the first record that is not as it was written is named."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from stafett.audit.chain import GENESIS_HASH, ChainEvent, ChainVerifier, CheckpointClaim, compute_event_hash
from stafett.domain.audit_chain import BrokenRecord

ORG = "nhf"
SEEN_AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
_WORDS = some.text("abcæøå \"\\\n{}:,'-", max_size=6)
_DETAILS = some.dictionaries(some.text("abc_", min_size=1), some.none() | some.booleans() | some.integers() | _WORDS)
_MOMENTS = some.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - PostgreSQL writes them in UTC


def as_text(detail: Mapping[str, object]) -> str:
    """As jsonb shows itself: with a blank after each sign, and in an order of its own."""
    return json.dumps(dict(reversed(list(detail.items()))), ensure_ascii=False)


def sealed(event: ChainEvent, previous_hash: str) -> ChainEvent:
    linked = event._replace(previous_hash=previous_hash)
    return linked._replace(hash=compute_event_hash(linked))


def relinked(events: list[ChainEvent], previous_hash: str) -> list[ChainEvent]:
    """What somebody who knows how to hash would make of them."""
    made: list[ChainEvent] = []
    for event in events:
        made.append(sealed(event, made[-1].hash if made else previous_hash))
    return made


@some.composite
def chains(draw: some.DrawFn, least: int = 1) -> list[ChainEvent]:
    length = draw(some.integers(least, 8))
    events = [
        ChainEvent(
            org_id=ORG,
            seq=seq,
            id=str(draw(some.uuids())),
            at=f"{draw(_MOMENTS)}+00",
            actor=f"user:{UUID(int=seq)}",
            event=draw(some.sampled_from(["stage_started", "export_completed"])),
            subject_kind="export",
            subject_id=str(draw(some.uuids())),
            status=draw(some.none() | some.just("completed")),
            detail=as_text(draw(_DETAILS)),
            hash="",
            previous_hash="",
        )
        for seq in range(1, length + 1)
    ]
    return relinked(events, GENESIS_HASH)


def seen(event: ChainEvent) -> CheckpointClaim:
    return CheckpointClaim(event.seq, event.hash, SEEN_AT)


def broken(events: list[ChainEvent], *sightings: CheckpointClaim) -> BrokenRecord | None:
    return ChainVerifier(ORG, sightings).find_break(events)


def named(record: BrokenRecord | None) -> int | None:
    return record.seq if record else None


EDITS: dict[str, some.SearchStrategy[object]] = {
    "org_id": some.just("hlf"),
    "id": some.uuids().map(str),
    "at": _MOMENTS.map(lambda at: f"{at}+00") | some.sampled_from(["infinity", "2026-01-01 00:00:00+00 BC", "x"]),
    "actor": _WORDS,
    "event": _WORDS,
    "subject_kind": _WORDS,
    "subject_id": some.uuids().map(str),
    "status": some.none() | _WORDS,
    "detail": _DETAILS.map(as_text) | some.sampled_from(['{"a": 1.0}', "{", '{"a": 1e400}', "[" * 100_000]),
    "hash": some.just("f" * 64),
    "previous_hash": some.just("f" * 64),
}


@given(chains(least=0), some.data())
def test_every_chain_that_nobody_touched_is_whole(events: list[ChainEvent], data: some.DataObject) -> None:
    remembered = data.draw(some.lists(some.sampled_from(events))) if events else []
    assert broken(events, *map(seen, remembered)) is None


@pytest.mark.parametrize("field", EDITS)
@given(chains(), some.data())
def test_every_edit_of_any_field_is_found_where_it_was_made(
    field: str, events: list[ChainEvent], data: some.DataObject
) -> None:
    place = data.draw(some.integers(0, len(events) - 1))
    edited = ChainEvent(**(events[place]._asdict() | {field: data.draw(EDITS[field])}))
    if field == "detail" and _same_json(edited.detail, events[place].detail):
        return
    if edited == events[place]:
        return
    assert named(broken([*events[:place], edited, *events[place + 1 :]])) == place + 1


def _same_json(one: str, other: str) -> bool:
    try:
        return bool(repr(json.loads(one)) == repr(json.loads(other)))
    except (ValueError, RecursionError):
        return False


@given(chains(least=2), some.data())
def test_every_removal_is_found_where_the_event_was(events: list[ChainEvent], data: some.DataObject) -> None:
    place = data.draw(some.integers(0, len(events) - 2))
    found = broken(events[:place] + events[place + 1 :])
    assert named(found) == place + 1
    assert found is not None
    assert "missing" in found.reason


@given(chains(least=2), some.data())
def test_a_removal_with_the_rest_moved_up_is_found_too(events: list[ChainEvent], data: some.DataObject) -> None:
    place = data.draw(some.integers(0, len(events) - 2))
    moved = [event._replace(seq=event.seq - 1) for event in events[place + 1 :]]
    assert named(broken(events[:place] + moved)) == place + 1


@given(chains(least=2), some.data())
def test_every_change_of_order_is_found_at_the_first_that_moved(
    events: list[ChainEvent], data: some.DataObject
) -> None:
    order = data.draw(some.permutations(events).filter(lambda order: order != events))
    renumbered = [event._replace(seq=seq) for seq, event in enumerate(order, 1)]
    first = next(place for place, event in enumerate(events) if order[place] != event)
    assert named(broken(renumbered)) == first + 1


@given(chains(), some.data())
def test_an_event_that_is_there_twice_is_found(events: list[ChainEvent], data: some.DataObject) -> None:
    place = data.draw(some.integers(0, len(events) - 1))
    assert named(broken(events[: place + 1] + events[place:])) == place + 1


@given(chains(), some.data())
def test_every_tail_that_was_cut_off_is_found_by_a_checkpoint_behind_the_cut(
    events: list[ChainEvent], data: some.DataObject
) -> None:
    left = data.draw(some.integers(0, len(events) - 1))
    remembered = data.draw(some.integers(left, len(events) - 1))
    assert broken(events[:left]) is None
    found = broken(events[:left], seen(events[remembered]))
    assert named(found) == left + 1
    assert found is not None
    assert f"knows event {remembered + 1}" in found.reason


@given(chains(), some.data())
def test_every_chain_that_was_written_anew_is_found_by_the_first_checkpoint_behind(
    events: list[ChainEvent], data: some.DataObject
) -> None:
    place = data.draw(some.integers(0, len(events) - 1))
    remembered = sorted(data.draw(some.sets(some.integers(0, len(events) - 1))))
    forged = events[place]._replace(actor="user:nobody")
    anew = events[:place] + relinked([forged, *events[place + 1 :]], events[place].previous_hash)
    behind = [number + 1 for number in remembered if number >= place]
    assert named(broken(anew, *(seen(events[number]) for number in remembered))) == (behind[0] if behind else None)


@given(chains(), some.data())
def test_a_checkpoint_that_is_none_of_ours_is_named_unless_something_before_it_is_broken(
    events: list[ChainEvent], data: some.DataObject
) -> None:
    place = data.draw(some.integers(1, len(events) + 3))
    found = broken(events, CheckpointClaim(place, error="its checkpoint is no checkpoint of ours"))
    assert found == BrokenRecord(org_id=ORG, seq=place, reason="its checkpoint is no checkpoint of ours")


@given(chains(least=2), some.data())
def test_from_a_checkpoint_on_a_chain_is_gone_along_without_what_lies_before(
    events: list[ChainEvent], data: some.DataObject
) -> None:
    begin = data.draw(some.integers(1, len(events)))
    chain = ChainVerifier(ORG, map(seen, events), start_seq=begin)
    assert chain.find_break(events[begin - 1 :]) is None
    assert (chain.last_seq, chain.last_hash) == (len(events), events[-1].hash)
    forged = sealed(events[begin - 1]._replace(actor="x"), events[begin - 1].previous_hash)
    assert named(ChainVerifier(ORG, map(seen, events), start_seq=begin).find_break([forged, *events[begin:]])) == begin


def test_the_hash_is_the_one_that_the_specification_gives() -> None:
    """Worked out by hand: SHA-256 of the fields in RFC 8785's form."""
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


def test_what_is_wrong_is_one_sentence() -> None:
    found = ChainVerifier(ORG, [CheckpointClaim(3, "a" * 64, SEEN_AT + timedelta(hours=1))]).find_break([])
    assert found is not None
    assert found.message == (
        "Event 1 of nhf: it is missing; the chain has no event at all,"
        " and the checkpoint of 2026-07-01T13:00:00Z knows event 3."
    )
