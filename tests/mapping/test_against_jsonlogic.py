"""Where the language is JsonLogic, a library that has never heard of us agrees."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_logic import jsonLogic  # type: ignore[import-untyped] # it has no types

from stafett.column_mapper import compile_mapping
from tests.mapping.compiled import read
from tests.mapping.documents import Document, localized
from tests.mapping.jsonlogic import KINDS, expressions
from tests.mapping.rows import Row, frame_of, row_lists

_TYPES = {"text": "text", "whole": "integer", "number": "decimal", "boolean": "yes_no"}
_PARTICULARS: dict[str, Document] = {
    "number": {"decimals": 6},
    "boolean": {
        "labels": {"yes": dict.fromkeys(("nb", "nn", "en"), "yes"), "no": dict.fromkeys(("nb", "nn", "en"), "no")}
    },
}
_SMALL = ("participants", "new_participants", "attachments")
# Half of the last decimal that is written, and what a double may lack of it.
_HALF = Decimal("0.00000051")


def with_small_numbers(rows: list[Row]) -> list[Row]:
    return [row | {name: abs(row[name]) % 10 for name in _SMALL} for row in rows]


def document_of(values: Document) -> Document:
    columns = [
        {"id": kind, "header": localized(kind), "type": _TYPES[kind], "value": value} | _PARTICULARS.get(kind, {})
        for kind, value in values.items()
    ]
    return {
        "format": 1,
        "title": "JsonLogic",
        "effective_from": "2026-01-01",
        "columns": columns,
        "counting": {"reasons": []},
    }


def agree(kind: str, cell: Any, result: Any) -> bool:
    match kind:
        case "number":
            return isinstance(cell, Decimal) and abs(cell - Decimal(result)) <= _HALF
        case "boolean":
            return cell in {"yes", "no"} and (cell == "yes") is result
        case _:
            return type(cell) is type(result) and bool(cell == result)


CORE = st.fixed_dictionaries({kind: expressions(kind) for kind in KINDS})
ROWS = row_lists(most=5).map(with_small_numbers)
BROAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(BROAD, max_examples=1000)
@given(CORE, ROWS)
def test_every_expression_of_the_core_has_the_value_that_jsonlogic_gives_it(values: Document, rows: list[Row]) -> None:
    assert_as_jsonlogic_has_it(values, rows)


@pytest.mark.soak
@settings(BROAD, max_examples=10_000)
@given(CORE, ROWS)
def test_ten_thousand_expressions_have_the_values_that_jsonlogic_gives_them(values: Document, rows: list[Row]) -> None:
    assert_as_jsonlogic_has_it(values, rows)


def assert_as_jsonlogic_has_it(values: Document, rows: list[Row]) -> None:
    written = compile_mapping(read(document_of(values)), "nn").apply(frame_of(rows)).report_rows
    assert written.height == len(rows)
    for kind, value in values.items():
        for cell, row in zip(written[kind], rows, strict=True):
            assert agree(kind, cell, jsonLogic(value, row)), (kind, value, row, cell)
