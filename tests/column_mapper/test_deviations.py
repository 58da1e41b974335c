"""The deviating rows of a report agree with its counts, for every document and every set of rows."""

from collections import Counter
from collections.abc import Sequence

import polars as pl
from hypothesis import given, settings

from stafett.column_mapper import MappingProgram, compile_mapping
from stafett.column_mapper.outcome import MappedSlice, MappingOutcome
from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.activities import activity, activity_id, load_document
from tests.support.mapping.compiled_mapping import parse_document
from tests.support.mapping.documents import Document, documents
from tests.support.mapping.properties import EXAMPLES_1000
from tests.support.mapping.rows import Row, row_lists, to_frame


def map_rows(program: MappingProgram, rows: Sequence[Row]) -> tuple[MappingOutcome, MappedSlice]:
    outcome = MappingOutcome(program)
    (mapped,) = outcome.map_slices(to_frame(list(rows)))
    outcome.add_part(mapped.outcome)
    return outcome, mapped


def count_by_cause(deviations: pl.DataFrame) -> Counter[int]:
    return Counter(deviations["causes"].explode().to_list())


@settings(EXAMPLES_1000, max_examples=scale_examples(60))
@given(documents(), row_lists())
def test_deviating_rows_agree_with_the_counts(raw: Document, rows: list[Row]) -> None:
    program = compile_mapping(parse_document(raw), "nb")
    numbered_rows = [row | {"id": activity_id(number)} for number, row in enumerate(rows)]
    outcome, mapped = map_rows(program, numbered_rows)
    deviations, by_outcome = mapped.deviations, Counter(mapped.deviations["outcome"].to_list())
    assert (by_outcome["rejected"], by_outcome["not_countable"]) == (
        outcome.counts.rejected,
        outcome.counts.not_countable,
    )
    failed_checks = {failed.check_index: len(failed.row_indices) for failed in mapped.part.failed_checks}
    reasons = {
        number: count
        for number, (reason, count) in enumerate(
            ((reason, mapped.part.not_countable[reason.code]) for reason in program.reasons), len(program.checks)
        )
        if count
    }
    assert count_by_cause(deviations) == failed_checks | reasons
    assert {cause.number for cause in outcome.deviation_causes} == (failed_checks | reasons).keys()
    assert deviations["row"].is_sorted()
    assert deviations["row"].is_unique().all()
    assert deviations["activity_id"].to_list() == [activity_id(row) for row in deviations["row"]]


def test_deviating_rows_name_their_places_in_the_report_and_among_the_excluded_rows() -> None:
    program = compile_mapping(load_document("hlf", since="2026-01-01"), "nb")
    day = "2026-03-02T17:00+01:00"
    rows = [
        activity(0, starts=day),
        activity(1, "telefonsamtale", day),
        activity(2, starts=day, new_participants=9),
        activity(3, starts="2026-03-03T02:00+01:00"),
        activity(4, in_norway=False, starts="2026-03-04T17:00+01:00"),
    ]
    _, mapped = map_rows(program, rows)
    assert mapped.deviations.select("row", "outcome", "written_row", "excluded_row").rows() == [
        (1, "not_countable", None, 0),
        (2, "rejected", None, None),
        (3, "warning", 1, None),
        (4, "not_countable", None, 1),
    ]
