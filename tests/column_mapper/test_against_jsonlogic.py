"""Compares the part of the language that is JsonLogic with an independent library."""

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_logic import jsonLogic  # type: ignore[import-untyped] # it has no types

from stafett.column_mapper import compile_mapping
from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.compiled_mapping import parse_document
from tests.support.mapping.documents import Document, localize
from tests.support.mapping.jsonlogic import KINDS, expressions
from tests.support.mapping.rows import Row, row_lists, to_frame

_TYPES = {"text": "text", "whole": "integer", "number": "decimal", "boolean": "yes_no"}
_EXTRA_FIELDS: dict[str, Document] = {
    "number": {"decimals": 6},
    "boolean": {
        "labels": {"yes": dict.fromkeys(("nb", "nn", "en"), "yes"), "no": dict.fromkeys(("nb", "nn", "en"), "no")}
    },
}
_SMALL = ("participants", "new_participants", "attachments")
# Half of the last decimal that is written, plus the error of a double.
_TOLERANCE = Decimal("0.00000051")


def limit_numbers(rows: list[Row]) -> list[Row]:
    return [row | {name: abs(row[name]) % 10 for name in _SMALL} for row in rows]


def document_of(values: Document) -> Document:
    columns = [
        {"id": kind, "header": localize(kind), "type": _TYPES[kind], "value": value} | _EXTRA_FIELDS.get(kind, {})
        for kind, value in values.items()
    ]
    return {
        "format": 1,
        "title": "JsonLogic",
        "effective_from": "2026-01-01",
        "columns": columns,
        "counting": {"reasons": []},
    }


def is_same_value(kind: str, cell: Any, result: Any) -> bool:
    match kind:
        case "number":
            return isinstance(cell, Decimal) and abs(cell - Decimal(result)) <= _TOLERANCE
        case "boolean":
            return cell in {"yes", "no"} and (cell == "yes") is result
        case _:
            return type(cell) is type(result) and bool(cell == result)


EXPRESSIONS_BY_KIND = st.fixed_dictionaries({kind: expressions(kind) for kind in KINDS})
ROWS = row_lists(max_rows=5).map(limit_numbers)
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(NO_DEADLINE, max_examples=scale_examples(1000))
@given(EXPRESSIONS_BY_KIND, ROWS)
def test_core_expressions_have_the_values_of_jsonlogic(values: Document, rows: list[Row]) -> None:
    assert_same_values_as_jsonlogic(values, rows)


def assert_same_values_as_jsonlogic(values: Document, rows: list[Row]) -> None:
    report_rows = compile_mapping(parse_document(document_of(values)), "nn").apply(to_frame(rows)).report_rows
    assert report_rows.height == len(rows)
    for kind, value in values.items():
        for cell, row in zip(report_rows[kind], rows, strict=True):
            assert is_same_value(kind, cell, jsonLogic(value, row)), (kind, value, row, cell)
