"""Mapping stays within its memory, and slices of a part give the results of the whole part."""

import json
import subprocess
import sys
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from stafett.column_mapper import (
    InvalidMappingError,
    MappedPart,
    MappingIssue,
    MappingProgram,
    compile_mapping,
    load_mapping,
)
from stafett.column_mapper.outcome import MappingOutcome, PartOutcome
from stafett.domain.export import Locale
from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.activities import activity, activity_id, build_frame, load_document
from tests.support.mapping.compiled_mapping import LOCALES, parse_document
from tests.support.mapping.costly_documents import column, document_of, var
from tests.support.mapping.documents import Document, documents
from tests.support.mapping.properties import EXAMPLES_1000
from tests.support.mapping.rows import Row, row_lists, to_frame

MAX_AFFECTED_ROWS = "stafett.column_mapper.outcome.MAX_AFFECTED_ROWS"
_BUDGET_MIB, _TIMEOUT_SECONDS = 96, 300


def concat_slices(parts: list[MappedPart]) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    return (
        pl.concat([part.report_rows for part in parts]),
        pl.concat([part.excluded_rows for part in parts]),
        pl.concat([part.exclusion_reasons for part in parts]),
    )


def sort_totals(outcome: PartOutcome) -> PartOutcome:
    totals = sorted(outcome.totals, key=lambda total: (total.label is None, total.label))
    return outcome.model_copy(update={"totals": tuple(totals)})


def assert_slices_equal_whole_part(program: MappingProgram, rows: pl.DataFrame, memory_bytes: int) -> int:
    """Compare the results, and return the number of slices."""
    ((whole, whole_outcome, _),) = MappingOutcome(program).map_slices(rows)
    outcome = MappingOutcome(program, max_memory_bytes=memory_bytes)
    slices = list(outcome.map_slices(rows))
    report, excluded, reasons = concat_slices([part for part, _, _ in slices])
    assert_frame_equal(report, whole.report_rows)
    assert_frame_equal(excluded, whole.excluded_rows)
    assert_series_equal(reasons, whole.exclusion_reasons)
    combined = outcome.combine_slices([part_outcome for _, part_outcome, _ in slices])
    assert sort_totals(combined) == sort_totals(whole_outcome)
    return len(slices)


@pytest.mark.parametrize("max_rows", [1, 3, 1000])
@settings(EXAMPLES_1000, max_examples=scale_examples(100))
@given(documents(), row_lists(), st.sampled_from(LOCALES), st.sampled_from((1, 2_000, 10_000)))
def test_slices_give_the_results_of_the_whole_part(
    max_rows: int, raw: Document, rows: list[Row], locale: Locale, memory_bytes: int
) -> None:
    numbered_rows = [row | {"id": activity_id(number)} for number, row in enumerate(rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MAX_AFFECTED_ROWS, max_rows)
        assert_slices_equal_whole_part(
            compile_mapping(parse_document(raw), locale), to_frame(numbered_rows), memory_bytes
        )


@pytest.mark.parametrize(("organisation", "since"), [("nhf", "2020-01-01"), ("hlf", "2026-01-01")])
def test_mentors_day_is_seen_as_a_whole_across_slices(organisation: str, since: str) -> None:
    program = compile_mapping(load_document(organisation, since=since), "nb")
    assert program.window_columns
    kinds = ("samtalegruppe", "kaffe", "oppsokende_samtale", "samtalegruppe")
    rows = build_frame(
        *(
            activity(number, kinds[number % 4], f"2026-03-02T{8 + number:02}:00+01:00", new_participants=number % 3)
            for number in range(12)
        )
    )
    assert rows["oslo_day"].n_unique() == 1
    assert assert_slices_equal_whole_part(program, rows, 1) == rows.height


def test_part_that_fits_is_mapped_at_once() -> None:
    program = compile_mapping(load_document("nhf", since="2020-01-01"), "nb")
    rows = build_frame(*(activity(number, "samtalegruppe") for number in range(100)))
    assert assert_slices_equal_whole_part(program, rows, _BUDGET_MIB * 1024**2) == 1


def test_row_too_large_for_memory_is_rejected_and_named() -> None:
    texts = [{"cat": [var("mentor_name")] * 40}] * 6
    program = compile_mapping(load_mapping(json.dumps(document_of(*texts))), "nb")
    rows = build_frame(*(activity(number, "besok") for number in range(3))).with_columns(
        pl.Series("mentor_name", ["Kari", "K" * 2**20, "Ola"])
    )
    outcome = MappingOutcome(program, max_memory_bytes=_BUDGET_MIB * 1024**2)
    parts = list(outcome.map_and_add_slices(rows))
    assert (outcome.counts.written, outcome.counts.rejected) == (2, 1)
    (failure,) = outcome.partial_failures
    assert (failure.code, failure.is_fatal, failure.affected_row_indices) == ("row_too_large", True, (1,))
    assert concat_slices(parts)[0].to_series().to_list() == ["Kari" * 40, "Ola" * 40]


def list_issues(raw: Any) -> list[MappingIssue]:
    with pytest.raises(InvalidMappingError) as error:
        load_mapping(json.dumps(raw))
    return list(error.value.issues)


def test_document_that_cannot_fit_into_memory_is_refused_at_its_largest_value() -> None:
    names = [f"initials_{number}" for number in range(42)]
    values: dict[str, Any] = {name: {"transformation": ["initials", var("note")]} for name in names}
    values["longest"] = {"transformation": ["initials", {"cat": [var("note"), var("note")]}]}
    raw = document_of(*({"empty": var(name)} for name in values), kind="yes_no", values=values)
    (issue,) = list_issues(raw)
    assert (issue.pointer, issue.code) == ("/values/longest", "too_much_memory")
    assert issue.detail == "Mapping one row could take more than 32 MiB of memory, most of it for this value."


def test_replacement_that_multiplies_bytes_is_refused() -> None:
    raw = document_of({"cat": [{"replace": [var("note"), "a", "\N{GRINNING FACE}"]}] * 40})
    issues = list_issues(raw)
    assert [(issue.pointer, issue.code) for issue in issues] == [("/columns/0/value", "too_long")]
    assert issues[0].detail == "This text could become longer than 1024 KiB."


_ATTACKS: dict[str, list[Any]] = {
    "41 copies of a note": [{"cat": [var("note")] * 41}] * 6,
    "nested copies": [{"cat": [{"cat": [{"cat": [var("note")] * 3}] * 3}] * 4}] * 6,
    "long constants": [{"cat": ["x" * 1000] * 4 + [f"{number}", var("id")]} for number in range(6)],
    "joined copies": [{"join": ["-" * 5, *[var("note")] * 40]}] * 6,
    "grown by replacement": [{"replace": [var("note"), "ab", "c" * 80]}] * 7,
    "pieces of copies": [{"split": [{"cat": [var("note")] * 20}, "b", 20]}] * 10,
    "capitals of copies": [{"upper": {"cat": [var("note")] * 13}}] * 6,
    "initials of copies": [{"transformation": ["initials", {"cat": [var("note")] * 10}]}] * 2,
    "too many initials of copies": [{"transformation": ["initials", {"cat": [var("note")] * 10}]}] * 9,
    "copies seen by a mentor's day": [{"cat": [var("note")] * 40}] * 6,
}
_MAP_SCRIPT = """
import json, resource, sys
from stafett.allocator import limit_allocator_arenas
limit_allocator_arenas(2)
import polars as pl
from stafett.activity_frames import arrow_from_frame
from stafett.column_mapper import InvalidMappingError, compile_mapping, load_mapping
from stafett.column_mapper.outcome import MappingOutcome
from tests.support.mapping.costly_documents import ROWS

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

raw, budget_mib = json.loads(sys.stdin.read()), int(sys.argv[1])
notes = pl.Series("note", ["ab \N{GRINNING FACE}" * 1000] * 480)
rows = pl.concat([ROWS[3:4]] * 480).with_columns(notes, pl.int_range(480).cast(pl.String).alias("id"))
try:
    program = compile_mapping(load_mapping(json.dumps(raw)), "nb")
except InvalidMappingError as error:
    print(json.dumps({"issues": [issue.code for issue in error.issues]}))
    sys.exit()
before, outcome = peak_mib(), MappingOutcome(program, max_memory_bytes=budget_mib * 1024**2)
list(map(lambda part: arrow_from_frame(part.report_rows)[:0], outcome.map_and_add_slices(rows)))
print(json.dumps({"written": outcome.counts.written, "mib": peak_mib() - before}))
"""


@pytest.mark.parametrize("name", _ATTACKS)
def test_growing_document_is_refused_or_maps_480_rows_within_its_memory(name: str) -> None:
    raw = document_of(*_ATTACKS[name])
    if "day" in name:
        rank = {"day_rank": {">": [{"length": var("note")}, 0]}}
        raw["columns"].append(column(len(raw["columns"]), rank, "integer"))
    completed = subprocess.run(
        [sys.executable, "-c", _MAP_SCRIPT, str(_BUDGET_MIB)],
        capture_output=True,
        check=False,
        input=json.dumps(raw),
        text=True,
        timeout=_TIMEOUT_SECONDS,
    )
    assert completed.returncode == 0, completed.stderr
    result = json.loads(completed.stdout)
    if "issues" not in result:
        assert result["written"] == 480
        assert result["mib"] < 1.25 * _BUDGET_MIB
