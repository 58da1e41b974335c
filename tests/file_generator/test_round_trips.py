from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.workbooks import (
    TEXT_DOCUMENT,
    build_frame,
    build_text_frame,
    open_workbook,
    read_with_calamine,
    read_with_openpyxl,
    render_xlsx,
)

AWKWARD = (
    "",
    " ",
    " foran og bak ",
    "to  mellomrom",
    "linje\nto\n",
    "tab\tinni",
    "\r\n",
    "vogn\rretur",
    "\x00\x01\x1f",
    "_x000D_",
    "_x0041_x0042_",
    "_x005F_",
    "__x0041__",
    "_x00_x0001_",
    "_xABCD_ _xabcd_ _xGHIJ_",
    "&amp; <b>&</b> \"'",
    "]]>",
    "=1+1",
    "+47 22 33 44 55",
    "-ingen-",
    "@her",
    "https://example.org",
    "mailto:noen@example.org",
    "𝄞🦽👩🏽‍🦯",
    "Kárášjohka, Čáhcesuolu, Tromsø",
    "\N{NO-BREAK SPACE}hardt mellomrom\N{NO-BREAK SPACE}",
    "\N{LINE SEPARATOR}",
    "\x7f\x85",
    "00123",
    "1e5",
    "TRUE",
    "2026-01-31",
    "|",
    "a| |b",
)
NOT_DECODED_BY_CALAMINE = ("\ufffe", "\uffff")
TEXTS = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MINUTES = st.integers(0, 24 * 60 - 1)
ROWS = st.lists(
    st.tuples(
        st.none() | TEXTS,
        st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-1000, 1000),
        st.none() | st.decimals(-(10**20), 10**20, places=2) | st.decimals(-1000, 1000, places=2),
        st.none() | st.dates(),
        st.none() | MINUTES.map(lambda minute: time(minute // 60, minute % 60)),
        st.none() | st.integers(-(10**4), 10**9).map(lambda minutes: timedelta(minutes=minutes)),
        st.none() | st.sampled_from(("Ja", "Nei")),
        st.none() | TEXTS,
    ),
    min_size=1,
    max_size=6,
)


def expected_cells(row: Sequence[Any]) -> list[Any]:
    """Return what a reader should find: the value, or its text if Excel cannot represent it."""
    text, integer, decimal, day, clock, duration, yes_no, choice = row
    return [
        text,
        _expected_integer(integer),
        _expected_decimal(decimal),
        _expected_day(day),
        clock,
        _expected_duration(duration),
        yes_no,
        choice,
    ]


def _expected_integer(number: int | None) -> int | str | None:
    return number if number is None or abs(number) < 10**15 else str(number)


def _expected_decimal(number: Decimal | None) -> Decimal | str | None:
    return number if number is None or abs(number) < 10**13 else str(number).replace(".", ",")


def _expected_day(day: date | None) -> date | str | None:
    return day if day is None or day >= date(1900, 3, 1) else day.isoformat()


def _expected_duration(duration: timedelta | None) -> timedelta | str | None:
    if duration is None or duration >= timedelta():
        return duration
    minutes = -duration // timedelta(minutes=1)
    return f"-{minutes // 60}:{minutes % 60:02}"


def is_equal_after_reading(actual: Any, expected: Any) -> bool:
    """Compare a cell, given that readers return doubles, dates with a time, and partly no empty texts."""
    match expected:
        case None | "":
            return actual in {None, ""}
        case Decimal() | int():
            return isinstance(actual, int | float) and float(actual) == float(expected)
        case timedelta():
            return abs(_to_duration(actual) - expected) <= timedelta(seconds=1)
        case time():
            return _to_time(actual) == expected
        case date() if isinstance(actual, datetime):
            return actual == datetime.combine(expected, time.min)
        case _:
            return bool(actual == expected)


def _to_duration(actual: Any) -> timedelta:
    match actual:
        case timedelta():
            return actual
        case time():
            return timedelta(hours=actual.hour, minutes=actual.minute, seconds=actual.second)
        case datetime():
            return actual - datetime(1899, 12, 30)  # noqa: DTZ001 - Excel's days have no zone
        case _:
            return timedelta(days=actual)


def _to_time(actual: Any) -> time:
    seconds = round(_to_duration(actual).total_seconds())
    return time(seconds // 3600, seconds // 60 % 60, seconds % 60)


def list_differences(actual: list[list[Any]], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, Any]]:
    expected = [expected_cells(row) for row in rows]
    actual += [[]] * (len(rows) - len(actual))  # readers leave out rows at the end that have no cell
    padded = [[*line, *([None] * (len(row) - len(line)))] for line, row in zip(actual, expected, strict=True)]
    pairs = zip(sum(padded, []), sum(expected, []), strict=True)  # noqa: RUF017 - a handful of rows
    return [
        (actual_cell, expected_cell)
        for actual_cell, expected_cell in pairs
        if not is_equal_after_reading(actual_cell, expected_cell)
    ]


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_every_value_is_read_back_by_openpyxl(rows: list[tuple[Any, ...]]) -> None:
    assert list_differences(read_with_openpyxl(render_xlsx([build_frame(*rows)])), rows) == []


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_every_value_is_read_back_by_calamine(rows: list[tuple[Any, ...]]) -> None:
    unsupported = [row for row in rows if set("".join(NOT_DECODED_BY_CALAMINE)) & set(f"{row[0]}{row[7]}")]
    rows = [row for row in rows if row not in unsupported] or [(None, 1, *[None] * 6)]
    assert list_differences(read_with_calamine(render_xlsx([build_frame(*rows)])), rows) == []


@pytest.mark.parametrize("text", [*AWKWARD, *NOT_DECODED_BY_CALAMINE])
def test_awkward_text_is_read_back_among_ordinary_ones(text: str) -> None:
    file = render_xlsx([build_text_frame("vanlig", text, "vanlig")], TEXT_DOCUMENT)
    assert [row[0] or "" for row in read_with_openpyxl(file)] == ["vanlig", text, "vanlig"]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_text_never_becomes_a_formula_or_a_link(texts: list[str]) -> None:
    (sheet, *_) = open_workbook(render_xlsx([build_text_frame(*texts)], TEXT_DOCUMENT)).worksheets
    cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
    assert {cell.data_type for cell in cells if cell.value is not None} <= {"s", "inlineStr"}
    assert [cell.hyperlink for cell in cells if cell.hyperlink] == []
    assert {cell.number_format for cell in cells if cell.value is not None} <= {"@"}


def test_missing_value_has_no_cell() -> None:
    (sheet, *_) = open_workbook(render_xlsx([build_frame(["a", *[None] * 7], [*[None] * 7, "b"])])).worksheets
    assert [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)] == [
        ["a", *[None] * 7],
        [*[None] * 7, "b"],
    ]
    assert not sheet["B2"].has_style


@pytest.mark.parametrize(
    ("number", "actual"),
    [
        (999_999_999_999_999, 999_999_999_999_999),
        (-999_999_999_999_999, -999_999_999_999_999),
        (1_000_000_000_000_000, "1000000000000000"),
        (-(2**63), "-9223372036854775808"),
    ],
)
def test_integers_beyond_15_digits_are_written_as_text(number: int, actual: Any) -> None:
    file = render_xlsx([build_frame([None, 1, *[None] * 6], [None, number, *[None] * 6])])
    assert [row[1] for row in read_with_openpyxl(file)] == [1, actual]


def test_long_decimals_are_texts_with_the_locales_separator() -> None:
    rows = build_frame([None, None, Decimal("12345678901234567.25"), *[None] * 5])
    assert read_with_openpyxl(render_xlsx([rows]))[0][2] == "12345678901234567,25"
    assert read_with_openpyxl(render_xlsx([rows], locale="en"))[0][2] == "12345678901234567.25"


def test_days_before_march_1900_are_written_as_text() -> None:
    days = [date(1814, 5, 17), date(1900, 2, 28), date(1900, 3, 1), date(9999, 12, 31)]
    file = render_xlsx([build_frame(*([None, None, None, day, *[None] * 4] for day in days))])
    first, second, *right = [row[3] for row in read_with_openpyxl(file)]
    assert (first, second) == ("1814-05-17", "1900-02-28")
    assert [day.date() for day in right] == days[2:]


def test_day_after_the_year_9999_is_written_as_text() -> None:
    rows = build_frame([None, None, None, date(9999, 12, 31), *[None] * 4]).with_columns(
        pl.col("Dato") + pl.duration(days=1)
    )
    assert read_with_openpyxl(render_xlsx([rows]))[0][3] == "+10000-01-01"


def test_time_just_before_midnight_stays_on_the_same_day() -> None:
    rows = build_frame([*[None] * 4, time(23, 59, 59, 999_999), *[None] * 3])
    assert read_with_openpyxl(render_xlsx([rows]))[0][4] == time(23, 59)


def test_column_of_unsupported_type_is_rejected() -> None:
    with pytest.raises(TypeError, match="unsupported column type Boolean"):
        render_xlsx([pl.DataFrame({"Tekst": [True]})], TEXT_DOCUMENT)
