"""Converts the compiler's results to the oracle's types and compares both."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import assume

from stafett.column_mapper import InvalidMappingError, compile_mapping, load_mapping
from stafett.domain.export import Locale
from tests.support.mapping.documents import Document
from tests.support.mapping.oracle import Cells, FailedCheck, Report, interpret
from tests.support.mapping.rows import Row, to_frame

LOCALES: tuple[Locale, ...] = ("nb", "nn", "en")
_DTYPES = {"integer": pl.Int64(), "date": pl.Date(), "time": pl.Time(), "duration": pl.Duration("us")}
_COLUMN_CHECKS = frozenset({"required", "unknown_choice", "choice_replaced"})


def parse_document(document: Document) -> Any:
    """Parse the document; skip the example if the compiler estimates that its texts could grow too long."""
    try:
        return load_mapping(json.dumps(document, ensure_ascii=False).encode())
    except InvalidMappingError as error:
        assume({issue.code for issue in error.issues} != {"too_long"})
        raise


def to_report(part: Any) -> Report:
    """Convert a mapped part."""
    return Report(
        report_rows=part.report_rows.rows(),
        excluded_rows=part.excluded_rows.rows(),
        failed_checks=[_to_failed_check(check) for check in part.failed_checks],
        rejected=part.rejected,
        countable=part.countable,
        not_countable=dict(part.not_countable),
    )


def with_doubles(report: Report) -> Report:
    """Replace decimals that are not whole by the nearest doubles.

    Where a double has no digits left for a column's decimals, the specification leaves open which are written.
    """
    return replace(
        report,
        report_rows=_rows_with_doubles(report.report_rows),
        excluded_rows=_rows_with_doubles(report.excluded_rows),
    )


def _rows_with_doubles(rows: list[Cells]) -> list[Cells]:
    return [tuple(_to_double(cell) if isinstance(cell, Decimal) else cell for cell in row) for row in rows]


def _to_double(cell: Decimal) -> Decimal | float:
    return cell if float(cell).is_integer() else float(cell)


def _to_failed_check(check: Any) -> FailedCheck:
    message = None if check.code in _COLUMN_CHECKS else check.message
    return FailedCheck(check.code, check.column, check.rejects_row, message, list(check.row_indices))


def expected_schema(document: Document, locale: str) -> dict[str, pl.DataType]:
    return {column["header"][locale]: _dtype(column) for column in document["columns"]}


def _dtype(column: Document) -> pl.DataType:
    if column["type"] == "decimal":
        return pl.Decimal(38, column.get("decimals", 2))
    return _DTYPES.get(column["type"], pl.String())


def assert_matches_oracle(document: Document, rows: list[Row]) -> None:
    mapping, frame = parse_document(document), to_frame(rows)
    for locale in LOCALES:
        part = compile_mapping(mapping, locale).apply(frame)
        expected = interpret(document, rows, locale)
        assert with_doubles(to_report(part)) == with_doubles(expected)
        assert list(part.not_countable) == list(expected.not_countable)
        assert len(rows) == part.report_rows.height + part.excluded_rows.height + part.rejected
        assert len(rows) - part.rejected == part.countable + sum(part.not_countable.values())
        assert [*map(dict, (part.report_rows.schema, part.excluded_rows.schema))] == [
            expected_schema(document, locale)
        ] * 2
