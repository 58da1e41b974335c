"""Compares the compiler with the oracle: two implementations of one specification."""

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stafett.column_mapper import compile_mapping
from stafett.domain.export import Locale
from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.compiled_mapping import LOCALES, assert_matches_oracle, parse_document, to_report
from tests.support.mapping.documents import Document, documents
from tests.support.mapping.expressions import OPERATIONS_BY_RESULT
from tests.support.mapping.oracle import FailedCheck, Report
from tests.support.mapping.properties import EXAMPLES_1000, NO_DEADLINE, split_between_days
from tests.support.mapping.rows import Row, row_lists, to_frame

# The specification's tables, without "transformation": its names are registered in code.
EVERY_OPERATION = """
    var if == != < <= > >= and or ! in + * - / % min max cat substr
    trim upper lower length join split replace lookup label empty
    date time date_of time_of year month day weekday week hour minute minutes_between days_between
    round floor ceil abs day_rank day_count event_rank event_count
"""


@EXAMPLES_1000
@given(documents(), row_lists())
def test_compiler_maps_every_row_like_the_oracle(document: Document, rows: list[Row]) -> None:
    assert_matches_oracle(document, rows)


def join_reports(parts: Iterable[Any]) -> Report:
    """Join the reports of the parts to a report of the whole, with consecutive row indices."""
    whole = Report([], [], [], 0, 0, {})
    for report in map(to_report, parts):
        whole = _join(whole, report)
    return whole


def _join(first: Report, second: Report) -> Report:
    rows_before = len(first.report_rows) + len(first.excluded_rows) + first.rejected
    later_checks = [
        FailedCheck(check.code, check.column, check.rejects, check.message, [rows_before + row for row in check.rows])
        for check in second.failed_checks
    ]
    return Report(
        first.report_rows + second.report_rows,
        first.excluded_rows + second.excluded_rows,
        first.failed_checks + later_checks,
        first.rejected + second.rejected,
        first.countable + second.countable,
        {code: first.not_countable.get(code, 0) + rows for code, rows in second.not_countable.items()},
    )


def checks_by_row(failed_checks: list[FailedCheck]) -> set[tuple[Any, ...]]:
    return {
        (check.code, check.column, check.rejects, check.message, row) for check in failed_checks for row in check.rows
    }


@settings(NO_DEADLINE, max_examples=scale_examples(200))
@given(documents(), row_lists(), st.sampled_from(LOCALES), st.integers(0, 2**12 - 1))
def test_parts_of_whole_days_add_up_to_the_whole_report(
    document: Document, rows: list[Row], locale: Locale, cuts: int
) -> None:
    program = compile_mapping(parse_document(document), locale)
    whole = to_report(program.apply(to_frame(rows)))
    parts = join_reports(map(program.apply, split_between_days(rows, cuts)))
    assert (parts.report_rows, parts.excluded_rows) == (whole.report_rows, whole.excluded_rows)
    assert checks_by_row(parts.failed_checks) == checks_by_row(whole.failed_checks)
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


def test_strategies_cover_every_operation_of_the_specification() -> None:
    assert {operation for operations in OPERATIONS_BY_RESULT.values() for operation in operations} == set(
        EVERY_OPERATION.split()
    )
    used: set[str] = set()

    @settings(NO_DEADLINE, max_examples=400, derandomize=True, database=None)
    @given(documents())
    def collect(document: Document) -> None:
        expressions = [column["value"] for column in document["columns"]] + list(document["values"].values())
        used.update(*map(operations_in, expressions))

    collect()
    assert used == set(EVERY_OPERATION.split())
