"""Parses the examples of the reference page and evaluates them."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl

from stafett.column_mapper import compile_mapping, load_mapping
from stafett.column_mapper.issues import InvalidMappingError
from stafett.column_mapper.scope import SOURCE_FIELDS
from stafett.column_mapper.values import DTYPES

PAGE = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text("utf-8")
Json = dict[str, Any]
Table = list[dict[str, str]]

_BLOCK = re.compile(r"```json ?(?P<form>\w*)\n(?P<json>.*?)```\n(?P<after>.*?)(?=\n```json|\Z)", re.DOTALL)
_TABLE = re.compile(r"(?:^\|.*\|$\n?)+", re.MULTILINE)
_PARSERS: dict[str, Callable[[Any], Any]] = {
    "date": date.fromisoformat,
    "instant": lambda text: datetime.fromisoformat(text).astimezone(UTC),
}
_HEADER = {"nb": "Svar", "nn": "Svar", "en": "Answer"}
_COLUMNS = (
    {"type": "integer"},
    {"type": "decimal", "decimals": 6},
    {"type": "text"},
    {"type": "date"},
    {"type": "time"},
    {"type": "yes_no"},
)
_SHARED_PARTS = ("lookups", "taxonomies", "values", "counting")
"""The parts of an example that later examples may use."""


@dataclass(frozen=True)
class Example:
    """A block of JSON, the first table after it, and the document of the earlier examples."""

    form: str
    json: Any
    table: Table
    document: Json


def parse_tables(text: str) -> list[Table]:
    return [_parse_table(match[0]) for match in _TABLE.finditer(text)]


def _parse_table(text: str) -> Table:
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


def examples() -> Iterator[Example]:
    document: Json = {}
    for block in _BLOCK.finditer(PAGE):
        content = json.loads(block["json"])
        if block["form"] == "document":
            document = content
        first = _TABLE.search(block["after"].split("\n#")[0])
        yield Example(block["form"], content, _parse_table(first[0]) if first else [], document)
        if block["form"] == "part":
            document = document | {name: part for name, part in content.items() if name in _SHARED_PARTS}


def examples_of_form(form: str) -> list[Example]:
    return [example for example in examples() if example.form == form]


def field_table() -> Table:
    return next(table for table in parse_tables(PAGE) if "field" in table[0])


def build_frame(rows: list[Json]) -> pl.DataFrame:
    """Build activities from the page's example values, overridden by the rows."""
    defaults = {line["field"].strip("`"): json.loads(line["example"].strip("`")) for line in field_table()}
    schema = {name: DTYPES[field.kind] for name, field in SOURCE_FIELDS.items()}
    return pl.DataFrame([_parse_row(defaults | row) for row in rows], schema=schema)


def _parse_row(row: Json) -> Json:
    return {name: _PARSERS.get(SOURCE_FIELDS[name].kind, _return_unchanged)(value) for name, value in row.items()}


def _return_unchanged(value: Any) -> Any:
    return value


def evaluate(document: Json, expression: Any, rows: list[Json]) -> list[Any]:
    """Evaluate an expression with the compiler, in a column of the first type that accepts it."""
    for column in _COLUMNS:
        definition = {"id": "answer", "header": _HEADER, "value": expression, **column}
        try:
            mapping = load_mapping(
                json.dumps(document | {"columns": [definition], "counting": _counting_in_report(document)})
            )
        except InvalidMappingError as error:
            if {issue.code for issue in error.issues} == {"wrong_type"}:
                continue
            raise
        cells = compile_mapping(mapping, "nb").apply(build_frame(rows)).report_rows["Svar"]
        return [_to_json_value(value, column["type"]) for value in cells]
    raise AssertionError(f"no column type accepts {expression}")


def _counting_in_report(document: Json) -> Json:
    counting: Json = document["counting"]
    return counting | {"rows_that_do_not_count": "in_report"}


def _to_json_value(value: Any, kind: Any) -> Any:
    match value:
        case str() if kind == "yes_no":
            return value == "Ja"
        case date():
            return value.isoformat()
        case time():
            return f"{value:%H:%M}"
        case None | str() | int():
            return value
        case _:
            return float(value)
