"""The compiler's answers, in the oracle's words."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import assume

from stafett.column_mapper import InvalidMappingError, compile_mapping, load_mapping
from stafett.domain.export import Locale
from tests.mapping.documents import Document
from tests.mapping.oracle import Cells, Fault, Report, interpret
from tests.mapping.rows import Row, frame_of

LOCALES: tuple[Locale, ...] = ("nb", "nn", "en")
_DTYPES = {"integer": pl.Int64(), "date": pl.Date(), "time": pl.Time(), "duration": pl.Duration("us")}
_OF_COLUMNS = frozenset({"required", "unknown_choice", "choice_replaced"})


def read(document: Document) -> Any:
    """The document, unless its texts could grow too long, which is the compiler's own estimate."""
    try:
        return load_mapping(json.dumps(document, ensure_ascii=False).encode())
    except InvalidMappingError as error:
        assume({fault.code for fault in error.issues} != {"too_long"})
        raise


def reported(part: Any) -> Report:
    """What it says of a part."""
    return Report(
        written=part.written.rows(),
        apart=part.apart.rows(),
        faults=[_fault(fault) for fault in part.faults],
        rejected=part.rejected,
        countable=part.countable,
        not_countable=dict(part.not_countable),
    )


def in_doubles(report: Report) -> Report:
    """With decimals that are not whole as the doubles they stand for.

    Where a double has no digits left for a column's decimals, the specification does not say which are written.
    """
    return replace(report, written=_in_doubles(report.written), apart=_in_doubles(report.apart))


def _in_doubles(rows: list[Cells]) -> list[Cells]:
    return [tuple(_in_double(cell) if isinstance(cell, Decimal) else cell for cell in row) for row in rows]


def _in_double(cell: Decimal) -> Decimal | float:
    return cell if float(cell).is_integer() else float(cell)


def _fault(fault: Any) -> Fault:
    message = None if fault.code in _OF_COLUMNS else fault.message
    return Fault(fault.code, fault.column, fault.rejects, message, list(fault.rows))


def schema_of(document: Document, locale: str) -> dict[str, pl.DataType]:
    return {column["header"][locale]: _dtype(column) for column in document["columns"]}


def _dtype(column: Document) -> pl.DataType:
    if column["type"] == "decimal":
        return pl.Decimal(38, column.get("decimals", 2))
    return _DTYPES.get(column["type"], pl.String())


def assert_compiled_as_specified(document: Document, rows: list[Row]) -> None:
    read_document, frame = read(document), frame_of(rows)
    for locale in LOCALES:
        part = compile_mapping(read_document, locale).apply(frame)
        expected = interpret(document, rows, locale)
        assert in_doubles(reported(part)) == in_doubles(expected)
        assert list(part.not_countable) == list(expected.not_countable)
        assert len(rows) == part.report_rows.height + part.excluded_rows.height + part.rejected
        assert len(rows) - part.rejected == part.countable + sum(part.not_countable.values())
        assert [*map(dict, (part.report_rows.schema, part.excluded_rows.schema))] == [schema_of(document, locale)] * 2
