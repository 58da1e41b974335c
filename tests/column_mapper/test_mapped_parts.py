"""The outcome does not depend on how a report is split into parts, nor on which parts were mapped before."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stafett.column_mapper import MappingProgram, compile_mapping
from stafett.column_mapper.outcome import MappingOutcome, PartOutcome
from stafett.domain.export import Locale
from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.activities import activity, activity_id, load_document
from tests.support.mapping.compiled_mapping import LOCALES, parse_document
from tests.support.mapping.documents import Document, documents
from tests.support.mapping.properties import EXAMPLES_1000, NO_DEADLINE, split_between_days
from tests.support.mapping.rows import Row, row_lists, to_frame

MAX_AFFECTED_ROWS = "stafett.column_mapper.outcome.MAX_AFFECTED_ROWS"
ORGANISATIONS = {"nhf": "2020-01-01", "hlf": "2026-01-01"}
KINDS = ("samtalegruppe", "likepersonskurs", "telefonsamtale", "oppsokende_samtale", "kaffe")


def reload_from_json(part: PartOutcome) -> PartOutcome:
    """Return the part as PostgreSQL would return it."""
    return PartOutcome.model_validate_json(part.model_dump_json())


def map_part(outcome: MappingOutcome, rows: pl.DataFrame) -> PartOutcome:
    """Map the next part, without adding its outcome."""
    ((_, part, _),) = outcome.map_slices(rows)
    return part


def map_parts(program: MappingProgram, parts: Iterable[pl.DataFrame]) -> tuple[MappingOutcome, list[PartOutcome]]:
    outcome, stored_parts = MappingOutcome(program), list[PartOutcome]()
    for rows in parts:
        part = map_part(outcome, rows)
        outcome.add_part(part)
        stored_parts.append(reload_from_json(part))
    return outcome, stored_parts


def map_remaining_parts(
    program: MappingProgram,
    parts: Sequence[pl.DataFrame],
    mapped_parts: Sequence[PartOutcome],
    numbers: Collection[int],
) -> MappingOutcome:
    """Map only the parts that were not mapped before, and reuse the others."""
    outcome = MappingOutcome(program)
    for number, rows in enumerate(parts):
        outcome.add_part(mapped_parts[number] if number in numbers else map_part(outcome, rows))
    return outcome


def summarise(outcome: MappingOutcome) -> dict[str, Any]:
    """Collect every result of the outcome."""
    return {
        "counts": outcome.counts,
        "excluded": outcome.excluded_count,
        "not_countable": outcome.not_countable,
        "totals": outcome.totals,
        "partial_failures": outcome.partial_failures,
    }


def assert_same_outcome(program: MappingProgram, rows: list[Row], cuts: int, before: int) -> None:
    parts = split_between_days(rows, cuts)
    whole, _ = map_parts(program, [to_frame(rows)])
    split, mapped_parts = map_parts(program, parts)
    numbers = {number for number in range(len(parts)) if before >> number & 1}
    assert summarise(split) == summarise(map_remaining_parts(program, parts, mapped_parts, numbers)) == summarise(whole)


@pytest.fixture(params=[1, 3, 1000])
def max_affected_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MAX_AFFECTED_ROWS, request.param)


BITS = st.integers(0, 2**12 - 1)


@pytest.mark.usefixtures("max_affected_rows")
@settings(EXAMPLES_1000, max_examples=scale_examples(60))
@given(documents(), row_lists(), st.sampled_from(LOCALES), BITS, BITS)
def test_outcome_is_the_same_whichever_parts_were_mapped_before(
    raw: Document, rows: list[Row], locale: Locale, cuts: int, before: int
) -> None:
    numbered_rows = [row | {"id": activity_id(number)} for number, row in enumerate(rows)]
    assert_same_outcome(compile_mapping(parse_document(raw), locale), numbered_rows, cuts, before)


@st.composite
def week_rows(draw: st.DrawFn) -> list[Row]:
    """Up to forty activities, of which some do not count, some are faulty and some are of an unknown kind."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.integers(1, 9),
                st.sampled_from(KINDS),
                st.integers(0, 9),
                st.sampled_from(("Bodø", "")),
                st.booleans(),
            ),
            max_size=40,
        )
    )
    rows = [
        activity(
            0,
            kind,
            f"2026-03-{day:02}T17:00+01:00",
            participants=size,
            new_participants=0,
            place=place,
            in_norway=at_home,
        )
        for day, kind, size, place, at_home in sorted(drawn)
    ]
    return [row | {"id": activity_id(number)} for number, row in enumerate(rows)]


@pytest.mark.usefixtures("max_affected_rows")
@pytest.mark.parametrize("organisation", ORGANISATIONS)
@settings(NO_DEADLINE, max_examples=scale_examples(30))
@given(week_rows(), BITS, BITS)
def test_summary_is_the_same_whichever_parts_were_mapped_before(
    organisation: str, rows: list[Row], cuts: int, before: int
) -> None:
    program = compile_mapping(load_document(organisation, since=ORGANISATIONS[organisation]), "nb")
    assert program.summary is not None
    assert_same_outcome(program, rows, cuts, before)


def test_parts_list_no_more_rows_than_the_whole_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MAX_AFFECTED_ROWS, 3)
    program = compile_mapping(load_document("nhf", since="2020-01-01"), "nb")
    rows = [activity(number, "kaffe", f"2026-03-0{1 + number // 2}T17:00+01:00") for number in range(6)]
    whole, parts = map_parts(program, split_between_days(rows, 0b011))
    (first, second, third) = [part.failures[0] for part in parts]
    assert [
        (len(failure.row_indices), len(failure.activity_ids), failure.count) for failure in (first, second, third)
    ] == [
        (2, 2, 2),
        (1, 1, 2),
        (0, 0, 2),
    ]
    assert whole.partial_failures[0].affected_row_indices == (0, 1, 2)
    assert whole.partial_failures[0].affected_count == 6
