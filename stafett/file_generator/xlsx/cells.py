"""Rows as XML, whole columns at a time; a value that is missing has no cell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import polars.selectors as cs

from stafett.domain.export import Locale
from stafett.file_generator.durations import format_clock_durations
from stafett.file_generator.xlsx.cell_text import (
    LINE_HEIGHT,
    escape_text,
    estimate_line_count,
    has_escapable_text,
    has_significant_spaces,
    has_special_text,
)

_MAX_DIGITS = 15
_MAX_LINES = 20
_HEIGHT_ATTRIBUTES = ["", "", *(f' ht="{lines * LINE_HEIGHT}"' for lines in range(2, _MAX_LINES + 1))]
_MINUTES_PER_DAY = 24 * 60
_NANOSECONDS_PER_MINUTE = 60 * 10**9
_UNIX_EPOCH_DAY, _MAX_DAY = 25_569, 2_958_465

# What Excel keeps: fifteen digits, days since 1900-03-01 (61) to the year 9999, no duration below nothing.
_INTEGER_BOUNDS = (1 - 10**_MAX_DIGITS, 10**_MAX_DIGITS - 1)
_DATE_BOUNDS = (61 - _UNIX_EPOCH_DAY, _MAX_DAY - _UNIX_EPOCH_DAY)
_DURATION_BOUNDS = (timedelta(0), timedelta(days=_MAX_DAY))
_DAY_FRACTIONS = [repr(minute / _MINUTES_PER_DAY) for minute in range(_MINUTES_PER_DAY)]
_NUMERIC_TYPES = (pl.Int64, pl.Decimal, pl.Date, pl.Time, pl.Duration)
_ROW_NUMBER = pl.col("row")

ColumnStats = Mapping[str, Any]


@dataclass(frozen=True)
class CellStyle:
    """Where a column's cells stand and how they look: as what they are, and as the text of what no cell can be."""

    column_letters: str
    style: int
    text_style: int
    wrap_width: int | None = None


@dataclass(frozen=True)
class FormattedColumn:
    """A column's values as Excel reads them; those that it could not keep are spelled as text."""

    value: pl.Expr
    fallback_text: pl.Expr | None = None
    is_within_bounds: pl.Expr | None = None
    is_text: bool = False
    preserves_spaces: bool = False


def render_rows_xml(rows: pl.DataFrame, styles: Sequence[CellStyle], first_row: int, locale: Locale) -> bytes:
    """``<row>`` after ``<row>``, numbered from ``first_row``."""
    names = [f"cell {number}" for number in range(rows.width)]
    rows = rows.rename(dict(zip(rows.columns, names, strict=True)))
    survey = _collect_stats(rows)
    numbers = pl.int_range(first_row, first_row + rows.height, dtype=pl.Int64).cast(pl.String)
    whole = rows.with_columns(numbers.alias("row"), *_format_negative_durations(rows, survey))
    parts: list[str | pl.Expr] = ['<row r="', _ROW_NUMBER, '"', *_render_row_height(rows, styles, survey), ">"]
    for (name, dtype), style in zip(rows.schema.items(), styles, strict=True):
        cell = list(_render_cell(_format_column(name, dtype, survey, locale), style))
        parts += cell if not survey[f"{name} missing"] else [_concat_parts(cell).fill_null("")]
    lines = whole.select(_concat_parts([*parts, "</row>"])).to_series()
    if lines.null_count():
        raise RuntimeError("a row was lost on its way into the file")
    xml: bytes = lines.str.join("").cast(pl.Binary).item()
    return xml


def _collect_stats(rows: pl.DataFrame) -> ColumnStats:
    """What has to be known of a column before it is spelled; mostly that nothing in it is unusual."""
    found = rows.select(
        question for name, dtype in rows.schema.items() for question in _build_stats_queries(name, dtype)
    )
    survey = found.row(0, named=True)
    careful = [name for name in rows.columns if survey.get(f"{name} care")]
    more = rows.select(question for name in careful for question in _build_text_queries(name))
    return survey | (more.row(0, named=True) if careful else {})


def _build_stats_queries(name: str, dtype: pl.DataType) -> Iterator[pl.Expr]:
    column = pl.col(name)
    yield column.null_count().alias(f"{name} missing")
    if dtype == pl.String:
        yield has_special_text(column).alias(f"{name} care")
        yield column.str.len_bytes().max().alias(f"{name} longest")
    elif dtype not in _NUMERIC_TYPES:
        raise TypeError(f"no cell can hold a {dtype}")
    else:
        measured = column.to_physical() if dtype == pl.Date else column  # Python knows no day after the year 9999
        yield measured.min().alias(f"{name} least")
        yield measured.max().alias(f"{name} most")


def _build_text_queries(name: str) -> Iterator[pl.Expr]:
    yield has_escapable_text(pl.col(name)).alias(f"{name} escapes")
    yield has_significant_spaces(pl.col(name)).alias(f"{name} spaces")
    yield pl.col(name).str.contains("\n", literal=True).any().alias(f"{name} breaks")


def _render_row_height(rows: pl.DataFrame, styles: Sequence[CellStyle], stats: ColumnStats) -> Iterator[pl.Expr]:
    """Not every program looks for itself how many lines a text takes."""
    lines = [
        estimate_line_count(pl.col(name), style.wrap_width, has_breaks=bool(stats.get(f"{name} breaks")))
        for name, style in zip(rows.columns, styles, strict=True)
        if style.wrap_width and ((stats[f"{name} longest"] or 0) > style.wrap_width or stats.get(f"{name} breaks"))
    ]
    if lines:
        most = pl.max_horizontal(lines).fill_null(1).clip(1, _MAX_LINES)
        yield pl.lit(pl.Series(_HEIGHT_ATTRIBUTES)).gather(most)


def _format_column(name: str, dtype: pl.DataType, stats: ColumnStats, locale: Locale) -> FormattedColumn:
    column = pl.col(name)
    match dtype:
        case pl.String():
            value = escape_text(column) if stats.get(f"{name} escapes") else column
            return FormattedColumn(value, is_text=True, preserves_spaces=bool(stats.get(f"{name} spaces")))
        case pl.Int64():
            spelled = column.cast(pl.String)
            return (
                FormattedColumn(spelled)
                if _is_all_within(stats, name, _INTEGER_BOUNDS)
                else FormattedColumn(spelled, spelled, _is_within(column, _INTEGER_BOUNDS))
            )
        case pl.Decimal():
            return _format_decimal(name, dtype, stats, locale)
        case pl.Date():
            return _format_date(name, stats)
        case pl.Time():
            return FormattedColumn(_format_time(column))
        case _:
            return _format_duration(name, stats)


def _format_decimal(name: str, dtype: pl.Decimal, stats: ColumnStats, locale: Locale) -> FormattedColumn:
    most = (10**_MAX_DIGITS - 1) * Decimal(1).scaleb(-dtype.scale)
    spelled = pl.col(name).cast(pl.String)
    if _is_all_within(stats, name, (-most, most)):
        return FormattedColumn(spelled)
    text = spelled if locale == "en" else spelled.str.replace(".", ",", literal=True)
    return FormattedColumn(spelled, text, _is_within(pl.col(name), (-most, most)))


def _format_date(name: str, stats: ColumnStats) -> FormattedColumn:
    days = pl.col(name).to_physical()
    spelled = (days + _UNIX_EPOCH_DAY).cast(pl.String)
    if _is_all_within(stats, name, _DATE_BOUNDS):
        return FormattedColumn(spelled)
    return FormattedColumn(spelled, pl.col(name).dt.to_string("iso"), _is_within(days, _DATE_BOUNDS))


def _format_duration(name: str, stats: ColumnStats) -> FormattedColumn:
    """To the minute; Excel shows no duration below nothing."""
    minutes = pl.col(name).dt.total_minutes()
    days = (minutes / _MINUTES_PER_DAY).cast(pl.String)
    if _is_all_within(stats, name, _DURATION_BOUNDS):
        return FormattedColumn(days)
    return FormattedColumn(days, pl.col(f"{name} clock"), _is_within(pl.col(name), _DURATION_BOUNDS))


def _format_negative_durations(rows: pl.DataFrame, stats: ColumnStats) -> list[pl.Series]:
    """The durations that are spelled as text."""
    names = [name for name in rows.select(cs.duration()).columns if not _is_all_within(stats, name, _DURATION_BOUNDS)]
    return [clock.alias(f"{clock.name} clock") for clock in format_clock_durations(rows.select(names)).get_columns()]


def _is_all_within(stats: ColumnStats, name: str, bounds: tuple[Any, Any]) -> bool:
    """Usually all of a column is within bounds, and nothing is asked of each value."""
    least, most = stats[f"{name} least"], stats[f"{name} most"]
    return least is None or bool(bounds[0] <= least and most <= bounds[1])


def _is_within(value: pl.Expr, bounds: tuple[Any, Any]) -> pl.Expr:
    return value.is_between(pl.lit(bounds[0]), pl.lit(bounds[1]))


def _format_time(time: pl.Expr) -> pl.Expr:
    """Down to the minute: a second before midnight is still the same day."""
    return pl.lit(pl.Series(_DAY_FRACTIONS)).gather(time.to_physical() // _NANOSECONDS_PER_MINUTE)


def _render_cell(column: FormattedColumn, style: CellStyle) -> Iterator[str | pl.Expr]:
    if column.is_text:
        yield from _render_text_cell(
            column.value, style.column_letters, style.style, preserves_spaces=column.preserves_spaces
        )
    elif column.fallback_text is None or column.is_within_bounds is None:
        yield from _render_number_cell(column.value, style)
    else:
        number = _concat_parts(_render_number_cell(column.value, style))
        text = _concat_parts(_render_text_cell(column.fallback_text, style.column_letters, style.text_style))
        yield pl.when(column.is_within_bounds).then(number).otherwise(text)


def _render_number_cell(value: pl.Expr, style: CellStyle) -> Iterator[str | pl.Expr]:
    yield from (f'<c r="{style.column_letters}', _ROW_NUMBER, f'" s="{style.style}"><v>', value, "</v></c>")


def _render_text_cell(
    text: pl.Expr, column_letters: str, style: int, *, preserves_spaces: bool = False
) -> Iterator[str | pl.Expr]:
    kept = ' xml:space="preserve"' if preserves_spaces else ""
    yield from (
        f'<c r="{column_letters}',
        _ROW_NUMBER,
        f'" s="{style}" t="inlineStr"><is><t{kept}>',
        text,
        "</t></is></c>",
    )


def _concat_parts(parts: Iterable[str | pl.Expr]) -> pl.Expr:
    """Missing if one of them is; none of our own words has braces."""
    parts = list(parts)
    form = "".join(part if isinstance(part, str) else "{}" for part in parts)
    return pl.format(form, *(part for part in parts if not isinstance(part, str)))
