"""The examples of the reference page, as the page shows them."""

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

PAGE = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text("utf-8")
Json = dict[str, Any]
Table = list[dict[str, str]]

_BLOCK = re.compile(r"```json ?(?P<form>\w*)\n(?P<json>.*?)```\n(?P<after>.*?)(?=\n```json|\Z)", re.DOTALL)
_TABLE = re.compile(r"(?:^\|.*\|$\n?)+", re.MULTILINE)
_READ: dict[str, Callable[[Any], Any]] = {
    "date": date.fromisoformat,
    "instant": lambda text: datetime.fromisoformat(text).astimezone(UTC),
}
_WORDS = {"nb": "Svar", "nn": "Svar", "en": "Answer"}
_COLUMNS = (
    {"type": "integer"},
    {"type": "decimal", "decimals": 6},
    {"type": "text"},
    {"type": "date"},
    {"type": "time"},
    {"type": "yes_no"},
)
_SHARED = ("lookups", "taxonomies", "values", "counting")
"""What an example leaves to those that come after it."""


@dataclass(frozen=True)
class Example:
    """A block of JSON, the first table after it, and what the page's earlier examples said."""

    form: str
    json: Any
    table: Table
    document: Json


def tables(text: str) -> list[Table]:
    return [_table(found[0]) for found in _TABLE.finditer(text)]


def _table(text: str) -> Table:
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


def examples() -> Iterator[Example]:
    document: Json = {}
    for found in _BLOCK.finditer(PAGE):
        given = json.loads(found["json"])
        if found["form"] == "document":
            document = given
        first = _TABLE.search(found["after"].split("\n#")[0])
        yield Example(found["form"], given, _table(first[0]) if first else [], document)
        if found["form"] == "part":
            document = document | {name: part for name, part in given.items() if name in _SHARED}


def of_form(form: str) -> list[Example]:
    return [example for example in examples() if example.form == form]


def field_table() -> Table:
    return next(table for table in tables(PAGE) if "field" in table[0])


def frame_of(rows: list[Json]) -> pl.DataFrame:
    """Activities that are the page's own but for what is said."""
    usual = {line["field"].strip("`"): json.loads(line["example"].strip("`")) for line in field_table()}
    schema = {name: DTYPES[field.kind] for name, field in SOURCE_FIELDS.items()}
    return pl.DataFrame([_read(usual | row) for row in rows], schema=schema)


def _read(row: Json) -> Json:
    return {name: _READ.get(SOURCE_FIELDS[name].kind, _as_it_is)(value) for name, value in row.items()}


def _as_it_is(value: Any) -> Any:
    return value


def answers(document: Json, expression: Any, rows: list[Json]) -> list[Any]:
    """What the compiler makes of an expression, in a column of the first type that takes it."""
    for column in _COLUMNS:
        asked = {"id": "answer", "header": _WORDS, "value": expression, **column}
        try:
            read = load_mapping(json.dumps(document | {"columns": [asked], "counting": _in_report(document)}))
        except InvalidMappingError as error:
            if {fault.code for fault in error.issues} == {"wrong_type"}:
                continue
            raise
        written = compile_mapping(read, "nb").apply(frame_of(rows)).report_rows["Svar"]
        return [_plain(value, column["type"]) for value in written]
    raise AssertionError(f"no column takes {expression}")


def _in_report(document: Json) -> Json:
    counting: Json = document["counting"]
    return counting | {"rows_that_do_not_count": "in_report"}


def _plain(value: Any, kind: Any) -> Any:
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
