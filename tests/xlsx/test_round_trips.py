from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xlsx.books import ONLY_TEXT, by_calamine, by_openpyxl, frame, opened, rendered, texts

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


def expected(row: Sequence[Any]) -> list[Any]:
    """What a reader has to find: the value, or the text of what Excel cannot hold."""
    text, whole, decimal, day, clock, duration, yes, choice = row
    return [text, _whole(whole), _decimal(decimal), _day(day), clock, _duration(duration), yes, choice]


def _whole(number: int | None) -> int | str | None:
    return number if number is None or abs(number) < 10**15 else str(number)


def _decimal(number: Decimal | None) -> Decimal | str | None:
    return number if number is None or abs(number) < 10**13 else str(number).replace(".", ",")


def _day(day: date | None) -> date | str | None:
    return day if day is None or day >= date(1900, 3, 1) else day.isoformat()


def _duration(duration: timedelta | None) -> timedelta | str | None:
    if duration is None or duration >= timedelta():
        return duration
    minutes = -duration // timedelta(minutes=1)
    return f"-{minutes // 60}:{minutes % 60:02}"


def alike(found: Any, wanted: Any) -> bool:
    """Readers have no decimals and no dates without a clock, some have no empty texts, and doubles are doubles."""
    match wanted:
        case None | "":
            return found in {None, ""}
        case Decimal() | int():
            return isinstance(found, int | float) and float(found) == float(wanted)
        case timedelta():
            return abs(_as_duration(found) - wanted) <= timedelta(seconds=1)
        case time():
            return _as_clock(found) == wanted
        case date() if isinstance(found, datetime):
            return found == datetime.combine(wanted, time.min)
        case _:
            return bool(found == wanted)


def _as_duration(found: Any) -> timedelta:
    match found:
        case timedelta():
            return found
        case time():
            return timedelta(hours=found.hour, minutes=found.minute, seconds=found.second)
        case datetime():
            return found - datetime(1899, 12, 30)  # noqa: DTZ001 - Excel's days have no zone
        case _:
            return timedelta(days=found)


def _as_clock(found: Any) -> time:
    seconds = round(_as_duration(found).total_seconds())
    return time(seconds // 3600, seconds // 60 % 60, seconds % 60)


def differences(found: list[list[Any]], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, Any]]:
    wanted = [expected(row) for row in rows]
    found += [[]] * (len(rows) - len(found))  # readers leave out rows at the end that have no cell
    padded = [[*line, *([None] * (len(row) - len(line)))] for line, row in zip(found, wanted, strict=True)]
    pairs = zip(sum(padded, []), sum(wanted, []), strict=True)  # noqa: RUF017 - a handful of rows
    return [(one, other) for one, other in pairs if not alike(one, other)]


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_every_value_comes_back_through_openpyxl(rows: list[tuple[Any, ...]]) -> None:
    assert differences(by_openpyxl(rendered([frame(*rows)])), rows) == []


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_every_value_comes_back_through_calamine(rows: list[tuple[Any, ...]]) -> None:
    strange = [row for row in rows if set("".join(NOT_DECODED_BY_CALAMINE)) & set(f"{row[0]}{row[7]}")]
    rows = [row for row in rows if row not in strange] or [(None, 1, *[None] * 6)]
    assert differences(by_calamine(rendered([frame(*rows)])), rows) == []


@pytest.mark.parametrize("text", [*AWKWARD, *NOT_DECODED_BY_CALAMINE])
def test_an_awkward_text_comes_back_among_ordinary_ones(text: str) -> None:
    file = rendered([texts("vanlig", text, "vanlig")], ONLY_TEXT)
    assert [row[0] or "" for row in by_openpyxl(file)] == ["vanlig", text, "vanlig"]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_no_text_ever_becomes_a_formula_or_a_link(said: list[str]) -> None:
    (sheet, *_) = opened(rendered([texts(*said)], ONLY_TEXT)).worksheets
    cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
    assert {cell.data_type for cell in cells if cell.value is not None} <= {"s", "inlineStr"}
    assert [cell.hyperlink for cell in cells if cell.hyperlink] == []
    assert {cell.number_format for cell in cells if cell.value is not None} <= {"@"}


def test_what_is_missing_has_no_cell() -> None:
    (sheet, *_) = opened(rendered([frame(["a", *[None] * 7], [*[None] * 7, "b"])])).worksheets
    assert [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)] == [
        ["a", *[None] * 7],
        [*[None] * 7, "b"],
    ]
    assert not sheet["B2"].has_style


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (999_999_999_999_999, 999_999_999_999_999),
        (-999_999_999_999_999, -999_999_999_999_999),
        (1_000_000_000_000_000, "1000000000000000"),
        (-(2**63), "-9223372036854775808"),
    ],
)
def test_whole_numbers_beyond_15_digits_stay_exact_as_text(number: int, found: Any) -> None:
    file = rendered([frame([None, 1, *[None] * 6], [None, number, *[None] * 6])])
    assert [row[1] for row in by_openpyxl(file)] == [1, found]


def test_long_decimals_are_texts_with_the_comma_of_their_language() -> None:
    rows = frame([None, None, Decimal("12345678901234567.25"), *[None] * 5])
    assert by_openpyxl(rendered([rows]))[0][2] == "12345678901234567,25"
    assert by_openpyxl(rendered([rows], locale="en"))[0][2] == "12345678901234567.25"


def test_days_before_march_1900_are_texts_and_excels_first_right_day_is_a_day() -> None:
    days = [date(1814, 5, 17), date(1900, 2, 28), date(1900, 3, 1), date(9999, 12, 31)]
    file = rendered([frame(*([None, None, None, day, *[None] * 4] for day in days))])
    first, second, *right = [row[3] for row in by_openpyxl(file)]
    assert (first, second) == ("1814-05-17", "1900-02-28")
    assert [day.date() for day in right] == days[2:]


def test_a_day_after_the_year_9999_is_a_text() -> None:
    rows = frame([None, None, None, date(9999, 12, 31), *[None] * 4]).with_columns(pl.col("Dato") + pl.duration(days=1))
    assert by_openpyxl(rendered([rows]))[0][3] == "+10000-01-01"


def test_a_second_before_midnight_is_still_the_same_day() -> None:
    rows = frame([*[None] * 4, time(23, 59, 59, 999_999), *[None] * 3])
    assert by_openpyxl(rendered([rows]))[0][4] == time(23, 59)


def test_a_column_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="no cell can hold a Boolean"):
        rendered([pl.DataFrame({"Tekst": [True]})], ONLY_TEXT)
