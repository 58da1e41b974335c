"""However a report is cut into parts, and whichever of them were mapped before: the outcome is the undisturbed one."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stafett.column_mapper import MappingProgram, compile_mapping
from stafett.column_mapper.outcome import MappingOutcome, PartOutcome
from stafett.domain.export import Locale
from tests.mapping.activities import activity, activity_id, document
from tests.mapping.compiled import LOCALES, read
from tests.mapping.documents import Document, documents
from tests.mapping.rows import Row, frame_of, row_lists
from tests.mapping.test_against_oracle import BROAD, SOME, cut_between_days

NAMES_FEW = "stafett.column_mapper.outcome.MAX_AFFECTED_ROWS"
ORGANISATIONS = {"nhf": "2020-01-01", "hlf": "2026-01-01"}
KINDS = ("samtalegruppe", "likepersonskurs", "telefonsamtale", "oppsokende_samtale", "kaffe")


def kept(part: PartOutcome) -> PartOutcome:
    """As PostgreSQL gives it back."""
    return PartOutcome.model_validate_json(part.model_dump_json())


def undisturbed(program: MappingProgram, parts: Iterable[pl.DataFrame]) -> tuple[MappingOutcome, list[PartOutcome]]:
    outcome, kept_parts = MappingOutcome(program), list[PartOutcome]()
    for rows in parts:
        _, part = outcome.map_part(rows)
        outcome.add_part(part)
        kept_parts.append(kept(part))
    return outcome, kept_parts


def resumed(
    program: MappingProgram, parts: Sequence[pl.DataFrame], done: Sequence[PartOutcome], before: Collection[int]
) -> MappingOutcome:
    """Those that were mapped before are not mapped again."""
    outcome = MappingOutcome(program)
    for number, rows in enumerate(parts):
        outcome.add_part(done[number] if number in before else outcome.map_part(rows)[1])
    return outcome


def said(outcome: MappingOutcome) -> dict[str, Any]:
    """Everything there is to ask."""
    return {
        "counts": outcome.counts,
        "apart": outcome.excluded_count,
        "not_countable": outcome.not_countable,
        "totals": outcome.totals,
        "partial_failures": outcome.partial_failures,
    }


def assert_the_same(program: MappingProgram, rows: list[Row], cuts: int, before: int) -> None:
    parts = cut_between_days(rows, cuts)
    whole, _ = undisturbed(program, [frame_of(rows)])
    cut, done = undisturbed(program, parts)
    numbers = {number for number in range(len(parts)) if before >> number & 1}
    assert said(cut) == said(resumed(program, parts, done, numbers)) == said(whole)


@pytest.fixture(params=[1, 3, 1000])
def most_named(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NAMES_FEW, request.param)


BITS = st.integers(0, 2**12 - 1)


@pytest.mark.usefixtures("most_named")
@settings(SOME, max_examples=60)
@given(documents(), row_lists(), st.sampled_from(LOCALES), BITS, BITS)
def test_whatever_was_mapped_before_any_document_says_the_same(
    written: Document, rows: list[Row], locale: Locale, cuts: int, before: int
) -> None:
    known = [row | {"id": activity_id(number)} for number, row in enumerate(rows)]
    assert_the_same(compile_mapping(read(written), locale), known, cuts, before)


@st.composite
def weeks(draw: st.DrawFn) -> list[Row]:
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


@pytest.mark.usefixtures("most_named")
@pytest.mark.parametrize("organisation", ORGANISATIONS)
@settings(BROAD, max_examples=30)
@given(weeks(), BITS, BITS)
def test_whatever_was_mapped_before_an_organisations_summary_is_the_same(
    organisation: str, rows: list[Row], cuts: int, before: int
) -> None:
    program = compile_mapping(document(organisation, since=ORGANISATIONS[organisation]), "nb")
    assert program.summary is not None
    assert_the_same(program, rows, cuts, before)


def test_a_part_names_no_more_rows_than_the_whole_still_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NAMES_FEW, 3)
    program = compile_mapping(document("nhf", since="2020-01-01"), "nb")
    rows = [activity(number, "kaffe", f"2026-03-0{1 + number // 2}T17:00+01:00") for number in range(6)]
    whole, parts = undisturbed(program, cut_between_days(rows, 0b011))
    (first, second, third) = [part.failures[0] for part in parts]
    assert [(len(one.row_indices), len(one.activity_ids), one.count) for one in (first, second, third)] == [
        (2, 2, 2),
        (1, 1, 2),
        (0, 0, 2),
    ]
    assert whole.partial_failures[0].affected_row_indices == (0, 1, 2)
    assert whole.partial_failures[0].affected_count == 6
