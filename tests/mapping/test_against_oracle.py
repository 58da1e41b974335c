"""The compiler beside the oracle: two readings of one specification."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stafett.column_mapper import compile_mapping
from stafett.domain.export import Locale
from tests.mapping.compiled import LOCALES, assert_compiled_as_specified, read, reported
from tests.mapping.documents import Document, documents
from tests.mapping.expressions import GIVING
from tests.mapping.oracle import Fault, Report
from tests.mapping.rows import Row, frame_of, row_lists

# The specification's tables, without "transformation": what that may name is registered in code.
EVERY_OPERATION = """
    var if == != < <= > >= and or ! in + * - / % min max cat substr
    trim upper lower length join split replace lookup label empty
    date time date_of time_of year month day weekday week hour minute minutes_between days_between
    round floor ceil abs day_rank day_count
"""
# Documents are long, so drawing one takes a while.
BROAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
SOME = settings(BROAD, max_examples=1000)
MANY = settings(BROAD, max_examples=10_000)


@SOME
@given(documents(), row_lists())
def test_a_document_says_of_every_row_what_the_specification_says(document: Document, rows: list[Row]) -> None:
    assert_compiled_as_specified(document, rows)


@pytest.mark.soak
@MANY
@given(documents(), row_lists())
def test_ten_thousand_documents_say_what_the_specification_says(document: Document, rows: list[Row]) -> None:
    assert_compiled_as_specified(document, rows)


def cut_between_days(rows: list[Row], cuts: int) -> list[pl.DataFrame]:
    """The frame in parts of whole days; the bits of ``cuts`` say after which days a part ends."""
    days = sorted({row["oslo_day"] for row in rows})
    last_days = [day for number, day in enumerate(days) if cuts >> number & 1]
    ends = [sum(row["oslo_day"] <= last for row in rows) for last in last_days]
    frame = frame_of(rows)
    return [frame[start:end] for start, end in pairwise([0, *ends, len(rows)])]


def together(parts: Iterable[Any]) -> Report:
    """What was said of the parts, as it would be said of the whole: rows are numbered on."""
    whole = Report([], [], [], 0, 0, {})
    for report in map(reported, parts):
        whole = _joined(whole, report)
    return whole


def _joined(one: Report, other: Report) -> Report:
    before = len(one.written) + len(one.apart) + one.rejected
    later = [Fault(f.code, f.column, f.rejects, f.message, [before + row for row in f.rows]) for f in other.faults]
    return Report(
        one.written + other.written,
        one.apart + other.apart,
        one.faults + later,
        one.rejected + other.rejected,
        one.countable + other.countable,
        {code: one.not_countable.get(code, 0) + rows for code, rows in other.not_countable.items()},
    )


def by_row(faults: list[Fault]) -> set[tuple[Any, ...]]:
    return {(fault.code, fault.column, fault.rejects, fault.message, row) for fault in faults for row in fault.rows}


@settings(BROAD, max_examples=200)
@given(documents(), row_lists(), st.sampled_from(LOCALES), st.integers(0, 2**12 - 1))
def test_parts_of_whole_days_say_together_what_the_whole_says(
    document: Document, rows: list[Row], locale: Locale, cuts: int
) -> None:
    program = compile_mapping(read(document), locale)
    whole = reported(program.apply(frame_of(rows)))
    parts = together(map(program.apply, cut_between_days(rows, cuts)))
    assert (parts.written, parts.apart) == (whole.written, whole.apart)
    assert by_row(parts.faults) == by_row(whole.faults)
    assert (parts.rejected, parts.countable) == (whole.rejected, whole.countable)
    assert parts.not_countable == whole.not_countable


def operations_in(expression: Any) -> set[str]:
    match expression:
        case dict():
            return set(expression).union(*map(operations_in, expression.values()))
        case list():
            return set().union(*map(operations_in, expression))
        case _:
            return set()


def test_every_operation_of_the_specification_is_among_those_that_are_written() -> None:
    assert {operation for operations in GIVING.values() for operation in operations} == set(EVERY_OPERATION.split())
    written: set[str] = set()

    @settings(BROAD, max_examples=400, derandomize=True, database=None)
    @given(documents())
    def collect(document: Document) -> None:
        expressions = [column["value"] for column in document["columns"]] + list(document["values"].values())
        written.update(*map(operations_in, expressions))

    collect()
    assert written == set(EVERY_OPERATION.split())
