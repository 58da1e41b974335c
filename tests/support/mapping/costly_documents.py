"""Documents that are expensive to compile or to apply, and the rows for them."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from stafett.domain.export import Locale
from tests.support.mapping.rows import FRAME_SCHEMA

LOCALES: tuple[Locale, ...] = ("nb", "nn", "en")


def _moment(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 23, 59, 59, 999_999, tzinfo=UTC)


def _row(number: int, text: str, note: str | None, count: int, begin: datetime, end: datetime) -> tuple[Any, ...]:
    counts = (count, -count)
    flags = (number % 2 == 0, number % 3 == 0)
    names = ("m", text, text or None, number % 2 == 1)
    day = date(begin.year, begin.month, begin.day)
    kind = "samtalegruppe" if number % 2 else text
    return (
        day,
        f"{text}{number}",
        kind,
        begin,
        end,
        *counts,
        text,
        *flags,
        note,
        *names,
        text or None,
        text or None,
        count,
    )


ROWS = pl.DataFrame(
    [
        _row(0, "", None, 0, _moment(1900, 1, 1), _moment(2199, 12, 30)),
        _row(1, "İß ŉ\u0301\u2028", "🏳️‍🌈\u200b\u00a0" * 30, 2**31 - 1, _moment(2199, 12, 30), _moment(1900, 1, 1)),
        _row(2, "Bodø", "\t\r\n", 3, _moment(2026, 3, 28), _moment(2026, 3, 29)),
        _row(3, "Bodø", "=1+1, a.b,c", 12, _moment(2026, 3, 28), _moment(2026, 3, 28)),
        _row(4, "${0}\\", None, -1, _moment(1969, 12, 31), _moment(1970, 1, 1)),
    ],
    schema=FRAME_SCHEMA,
    orient="row",
)


def in_all_locales(text: str) -> dict[str, str]:
    return dict.fromkeys(LOCALES, text)


def column(number: int, value: Any, kind: str = "text", **fields: Any) -> dict[str, Any]:
    return {"id": f"c{number}", "header": in_all_locales(f"H{number}"), "type": kind, "value": value, **fields}


def document_of(*values: Any, kind: str = "text", **fields: Any) -> dict[str, Any]:
    """Build a document with one column for each value."""
    columns = [column(number, value, kind) for number, value in enumerate(values)]
    base = {"format": 1, "title": "t", "effective_from": "2026-01-01", "counting": {"reasons": []}}
    return {**base, "columns": columns, **fields}


def var(name: str) -> dict[str, str]:
    return {"var": name}


def _repeat_in_columns(expression: Callable[[int, int], Any], columns: int, parts: int) -> dict[str, Any]:
    return document_of(
        *({"cat": [expression(column_number, part) for part in range(parts)]} for column_number in range(columns))
    )


COSTLY_DOCUMENTS = {
    "long literals": document_of(*({"cat": [var("id"), "x" * 40_000]} for _ in range(5))),
    "long texts": _repeat_in_columns(
        lambda column_number, part: {"cat": [var("note"), f"{column_number}.{part}"]}, 90, 40
    ),
    "joined parts": document_of(
        *(
            {
                "join": [
                    str(column_number),
                    *({"replace": [var("note"), f"{column_number}{part}", "b"]} for part in range(45)),
                ]
            }
            for column_number in range(60)
        )
    ),
    "pieces of commas": document_of({"split": [{"cat": [var("id"), "," * 40_000]}, ",", 100_000]}),
    "thousands of capitals": _repeat_in_columns(
        lambda column_number, part: {"substr": [{"upper": {"cat": [var("note"), f"{column_number}.{part}"]}}, 0, 1]},
        180,
        9,
    ),
    "thousands of initials": _repeat_in_columns(
        lambda column_number, part: {"transformation": ["initials", {"cat": [var("note"), f"{column_number}.{part}"]}]},
        180,
        5,
    ),
}
