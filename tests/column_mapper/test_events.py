"""Several mentors at one event: each document counts them all and warns, and a document can count an event once."""

import json
from typing import Any

import pytest
from hypothesis import given

from stafett.column_mapper import compile_mapping, load_mapping
from stafett.column_mapper.events import EventCounts
from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.column_mapper.outcome import MappingOutcome
from stafett.domain.export import ExportFormat, ExportParameters
from stafett.domain.export_outputs import EffectiveMapping
from stafett.exports.stages.map_columns import collect_warnings
from tests.support.mapping.activities import activity, build_frame, map_parts
from tests.support.mapping.costly_documents import document_of, var
from tests.support.mapping.properties import NO_DEADLINE
from tests.support.mapping.rows import Row, row_lists, to_frame

ORGANISATIONS = ("nhf", "blindeforbundet", "hlf", "standard")
MEETING = [activity(number, event_id="møte") for number in range(30)]
MAPPING = EffectiveMapping(version=1, sha256="0" * 64)
PARAMETERS = ExportParameters.model_validate(
    {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}, "export_format": ExportFormat.CSV}
)


def list_warnings(outcome: MappingOutcome) -> list[tuple[str, int | None, int | None]]:
    return [(warning.code, warning.rows, warning.events) for warning in collect_warnings(MAPPING, PARAMETERS, outcome)]


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_mentors_of_one_event_all_count_with_a_warning(organisation: str) -> None:
    others = [activity(number, "samtalegruppe", "2026-03-03T09:00+01:00") for number in range(30, 35)]
    not_countable = activity(35, "telefonsamtale", event_id="møte", in_person=False)
    outcome = map_parts(load_bundled_mappings(organisation)[-1], [*MEETING, not_countable], others)
    assert (outcome.counts.countable, outcome.counts.events) == (35, 6)
    assert ("several_mentors_at_one_event", 30, 1) in list_warnings(outcome)


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_one_mentor_at_each_event_is_no_reason_for_a_warning(organisation: str) -> None:
    days = [activity(number, starts=f"2026-03-{number + 1:02}T17:00+01:00", event_id="møte") for number in range(5)]
    alone = activity(10, starts="2026-03-01T17:00+01:00")
    outcome = map_parts(load_bundled_mappings(organisation)[-1], [*days, alone])
    assert (outcome.counts.countable, outcome.counts.events, list_warnings(outcome)) == (6, 6, [])


def build_counting_once() -> Any:
    same_event = {"nb": "Samme arrangement", "nn": "Same arrangement", "en": "Same event"}
    rank = {">": [{"event_rank": {">=": [var("participants"), 3]}}, 1]}
    few = {"code": "few", "when": {"<": [var("participants"), 3]}, "label": same_event}
    return document_of(var("id")) | {
        "counting": {"reasons": [few, {"code": "same_event", "when": rank, "label": same_event}]}
    }


def test_document_can_count_an_event_once() -> None:
    mapping = load_mapping(json.dumps(build_counting_once()))
    rows = [MEETING[0] | {"participants": 2}, *MEETING[1:], activity(30), activity(31)]
    outcome = map_parts(mapping, rows)
    assert (outcome.counts.countable, outcome.counts.events) == (3, 3)
    assert [(reason.code, reason.count) for reason in outcome.not_countable] == [("few", 1), ("same_event", 28)]
    assert list_warnings(outcome) == []


@NO_DEADLINE
@given(row_lists())
def test_events_are_counted_alike_in_slices_of_one_row(rows: list[Row]) -> None:
    program = compile_mapping(load_mapping(json.dumps(document_of(var("id")))), "nb")
    numbered = [row | {"id": f"00000000-0000-4000-8000-{number:012}"} for number, row in enumerate(rows)]
    events = [(row["event_id"], row["oslo_day"]) if row["event_id"] else row["id"] for row in numbered]
    shared = [event for event in events if events.count(event) > 1]
    outcome = MappingOutcome(program, max_memory_bytes=1)
    list(outcome.map_and_add_slices(to_frame(numbered)))
    assert outcome.event_counts == EventCounts(
        events=len(set(events)), shared_events=len(set(shared)), shared_rows=len(shared)
    )


def test_snapshot_without_events_is_counted_row_by_row() -> None:
    rows = build_frame(activity(1), activity(2))
    outcome = MappingOutcome(compile_mapping(load_bundled_mappings("nhf")[-1], "nb"))
    list(outcome.map_and_add_slices(rows))
    assert (rows["event_id"].null_count(), outcome.counts.events) == (2, 2)
