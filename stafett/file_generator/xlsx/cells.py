"""Rows as XML, whole columns at a time; a value that is missing has no cell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import polars.selectors as cs

from stafett.domain.export import Locale
from stafett.file_generator.durations import with_clock_durations
from stafett.file_generator.xlsx.cell_text import (
    LINE_HEIGHT,
    escaped,
    lines_of,
    needs_care,
    needs_escapes,
    needs_its_spaces,
)

_DIGITS = 15
_MOST_LINES = 20
_HEIGHTS = ["", "", *(f' ht="{lines * LINE_HEIGHT}"' for lines in range(2, _MOST_LINES + 1))]
_MINUTES_A_DAY = 24 * 60
_NANOSECONDS_A_MINUTE = 60 * 10**9
_DAYS_BEFORE_1970, _MOST_DAYS = 25_569, 2_958_465

# What Excel keeps: fifteen digits, days since 1900-03-01 (61) to the year 9999, no duration below nothing.
_MOST = (1 - 10**_DIGITS, 10**_DIGITS - 1)
_DAYS = (61 - _DAYS_BEFORE_1970, _MOST_DAYS - _DAYS_BEFORE_1970)
_DURATIONS = (timedelta(0), timedelta(days=_MOST_DAYS))
_FRACTIONS_OF_A_DAY = [repr(minute / _MINUTES_A_DAY) for minute in range(_MINUTES_A_DAY)]
_KINDS = (pl.Int64, pl.Decimal, pl.Date, pl.Time, pl.Duration)
_ROW = pl.col("row")

Survey = Mapping[str, Any]


@dataclass(frozen=True)
class CellStyle:
    """Where a column's cells stand and how they look: as what they are, and as the text of what no cell can be."""

    letters: str
    plain: int
    as_text: int
    wraps_at: int | None = None


@dataclass(frozen=True)
class Spelling:
    """A column's values as Excel reads them; those that it could not keep are spelled as text."""

    value: pl.Expr
    text: pl.Expr | None = None
    fits: pl.Expr | None = None
    is_text: bool = False
    keeps_spaces: bool = False


def rows_as_xml(rows: pl.DataFrame, styles: Sequence[CellStyle], first_row: int, locale: Locale) -> bytes:
    """``<row>`` after ``<row>``, numbered from ``first_row``."""
    names = [f"cell {number}" for number in range(rows.width)]
    rows = rows.rename(dict(zip(rows.columns, names, strict=True)))
    survey = _survey(rows)
    numbers = pl.int_range(first_row, first_row + rows.height, dtype=pl.Int64).cast(pl.String)
    whole = rows.with_columns(numbers.alias("row"), *_clocks(rows, survey))
    parts: list[str | pl.Expr] = ['<row r="', _ROW, '"', *_height(rows, styles, survey), ">"]
    for (name, dtype), style in zip(rows.schema.items(), styles, strict=True):
        cell = list(_cell(_spelling(name, dtype, survey, locale), style))
        parts += cell if not survey[f"{name} missing"] else [_together(cell).fill_null("")]
    lines = whole.select(_together([*parts, "</row>"])).to_series()
    if lines.null_count():
        raise RuntimeError("a row was lost on its way into the file")
    xml: bytes = lines.str.join("").cast(pl.Binary).item()
    return xml


def _survey(rows: pl.DataFrame) -> Survey:
    """What has to be known of a column before it is spelled; mostly that nothing in it is unusual."""
    found = rows.select(question for name, dtype in rows.schema.items() for question in _questions(name, dtype))
    survey = found.row(0, named=True)
    careful = [name for name in rows.columns if survey.get(f"{name} care")]
    more = rows.select(question for name in careful for question in _careful_questions(name))
    return survey | (more.row(0, named=True) if careful else {})


def _questions(name: str, dtype: pl.DataType) -> Iterator[pl.Expr]:
    column = pl.col(name)
    yield column.null_count().alias(f"{name} missing")
    if dtype == pl.String:
        yield needs_care(column).alias(f"{name} care")
        yield column.str.len_bytes().max().alias(f"{name} longest")
    elif dtype not in _KINDS:
        raise TypeError(f"no cell can hold a {dtype}")
    else:
        measured = column.to_physical() if dtype == pl.Date else column  # Python knows no day after the year 9999
        yield measured.min().alias(f"{name} least")
        yield measured.max().alias(f"{name} most")


def _careful_questions(name: str) -> Iterator[pl.Expr]:
    yield needs_escapes(pl.col(name)).alias(f"{name} escapes")
    yield needs_its_spaces(pl.col(name)).alias(f"{name} spaces")
    yield pl.col(name).str.contains("\n", literal=True).any().alias(f"{name} breaks")


def _height(rows: pl.DataFrame, styles: Sequence[CellStyle], survey: Survey) -> Iterator[pl.Expr]:
    """Not every program looks for itself how many lines a text takes."""
    lines = [
        lines_of(pl.col(name), style.wraps_at, has_breaks=bool(survey.get(f"{name} breaks")))
        for name, style in zip(rows.columns, styles, strict=True)
        if style.wraps_at and ((survey[f"{name} longest"] or 0) > style.wraps_at or survey.get(f"{name} breaks"))
    ]
    if lines:
        most = pl.max_horizontal(lines).fill_null(1).clip(1, _MOST_LINES)
        yield pl.lit(pl.Series(_HEIGHTS)).gather(most)


def _spelling(name: str, dtype: pl.DataType, survey: Survey, locale: Locale) -> Spelling:
    column = pl.col(name)
    match dtype:
        case pl.String():
            value = escaped(column) if survey.get(f"{name} escapes") else column
            return Spelling(value, is_text=True, keeps_spaces=bool(survey.get(f"{name} spaces")))
        case pl.Int64():
            spelled = column.cast(pl.String)
            return (
                Spelling(spelled) if _all(survey, name, _MOST) else Spelling(spelled, spelled, _within(column, _MOST))
            )
        case pl.Decimal():
            return _decimal(name, dtype, survey, locale)
        case pl.Date():
            return _day(name, survey)
        case pl.Time():
            return Spelling(_of_the_day(column))
        case _:
            return _duration(name, survey)


def _decimal(name: str, dtype: pl.Decimal, survey: Survey, locale: Locale) -> Spelling:
    most = (10**_DIGITS - 1) * Decimal(1).scaleb(-dtype.scale)
    spelled = pl.col(name).cast(pl.String)
    if _all(survey, name, (-most, most)):
        return Spelling(spelled)
    text = spelled if locale == "en" else spelled.str.replace(".", ",", literal=True)
    return Spelling(spelled, text, _within(pl.col(name), (-most, most)))


def _day(name: str, survey: Survey) -> Spelling:
    days = pl.col(name).to_physical()
    spelled = (days + _DAYS_BEFORE_1970).cast(pl.String)
    if _all(survey, name, _DAYS):
        return Spelling(spelled)
    return Spelling(spelled, pl.col(name).dt.to_string("iso"), _within(days, _DAYS))


def _duration(name: str, survey: Survey) -> Spelling:
    """To the minute; Excel shows no duration below nothing."""
    minutes = pl.col(name).dt.total_minutes()
    days = (minutes / _MINUTES_A_DAY).cast(pl.String)
    if _all(survey, name, _DURATIONS):
        return Spelling(days)
    return Spelling(days, pl.col(f"{name} clock"), _within(pl.col(name), _DURATIONS))


def _clocks(rows: pl.DataFrame, survey: Survey) -> list[pl.Series]:
    """The durations that are spelled as text."""
    names = [name for name in rows.select(cs.duration()).columns if not _all(survey, name, _DURATIONS)]
    return [clock.alias(f"{clock.name} clock") for clock in with_clock_durations(rows.select(names)).get_columns()]


def _all(survey: Survey, name: str, bounds: tuple[Any, Any]) -> bool:
    """Usually all of a column is within bounds, and nothing is asked of each value."""
    least, most = survey[f"{name} least"], survey[f"{name} most"]
    return least is None or bool(bounds[0] <= least and most <= bounds[1])


def _within(value: pl.Expr, bounds: tuple[Any, Any]) -> pl.Expr:
    return value.is_between(pl.lit(bounds[0]), pl.lit(bounds[1]))


def _of_the_day(time: pl.Expr) -> pl.Expr:
    """Down to the minute: a second before midnight is still the same day."""
    return pl.lit(pl.Series(_FRACTIONS_OF_A_DAY)).gather(time.to_physical() // _NANOSECONDS_A_MINUTE)


def _cell(spelling: Spelling, style: CellStyle) -> Iterator[str | pl.Expr]:
    if spelling.is_text:
        yield from _text_cell(spelling.value, style.letters, style.plain, keeps_spaces=spelling.keeps_spaces)
    elif spelling.text is None or spelling.fits is None:
        yield from _number_cell(spelling.value, style)
    else:
        number = _together(_number_cell(spelling.value, style))
        text = _together(_text_cell(spelling.text, style.letters, style.as_text))
        yield pl.when(spelling.fits).then(number).otherwise(text)


def _number_cell(value: pl.Expr, style: CellStyle) -> Iterator[str | pl.Expr]:
    yield from (f'<c r="{style.letters}', _ROW, f'" s="{style.plain}"><v>', value, "</v></c>")


def _text_cell(text: pl.Expr, letters: str, style: int, *, keeps_spaces: bool = False) -> Iterator[str | pl.Expr]:
    kept = ' xml:space="preserve"' if keeps_spaces else ""
    yield from (f'<c r="{letters}', _ROW, f'" s="{style}" t="inlineStr"><is><t{kept}>', text, "</t></is></c>")


def _together(parts: Iterable[str | pl.Expr]) -> pl.Expr:
    """Missing if one of them is; none of our own words has braces."""
    parts = list(parts)
    form = "".join(part if isinstance(part, str) else "{}" for part in parts)
    return pl.format(form, *(part for part in parts if not isinstance(part, str)))
