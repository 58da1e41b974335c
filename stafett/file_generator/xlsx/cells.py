"""Renders rows as sheet XML, whole columns at a time. A missing value has no cell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

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

# Excel stores fifteen digits, dates from 1900-03-01 (day 61) to the year 9999, and no negative durations.
_INTEGER_BOUNDS = (1 - 10**_MAX_DIGITS, 10**_MAX_DIGITS - 1)
_DATE_BOUNDS = (61 - _UNIX_EPOCH_DAY, _MAX_DAY - _UNIX_EPOCH_DAY)
_DURATION_BOUNDS = (timedelta(0), timedelta(days=_MAX_DAY))
_DAY_FRACTIONS = [repr(minute / _MINUTES_PER_DAY) for minute in range(_MINUTES_PER_DAY)]
_NUMERIC_TYPES = (pl.Int64, pl.Decimal, pl.Date, pl.Time, pl.Duration)
_ROW_NUMBER = pl.col("row")

ColumnStats = Mapping[str, Any]


@dataclass(frozen=True)
class CellStyle:
    """The letters and style indexes of a column; ``text_style`` is for values that Excel can only store as text."""

    column_letters: str
    style: int
    text_style: int
    wrap_width: int | None = None


@dataclass(frozen=True)
class FormattedColumn:
    """A column's values as Excel reads them, with a text fallback for values that it cannot store."""

    value: pl.Expr
    fallback_text: pl.Expr | None = None
    is_within_bounds: pl.Expr | None = None
    is_text: bool = False
    preserves_spaces: bool = False


class RenderedRows(NamedTuple):
    """The XML of rows, and whether a number, day or duration in it is text, because Excel cannot store it."""

    xml: bytes
    has_numbers_as_text: bool


def render_rows(rows: pl.DataFrame, styles: Sequence[CellStyle], first_row: int, locale: Locale) -> RenderedRows:
    """Render ``<row>`` elements, numbered from ``first_row`` (1-based)."""
    names = [f"column {number}" for number in range(rows.width)]
    rows = rows.rename(dict(zip(rows.columns, names, strict=True)))
    stats = _collect_stats(rows)
    numbers = pl.int_range(first_row, first_row + rows.height, dtype=pl.Int64).cast(pl.String)
    numbered = rows.with_columns(numbers.alias("row"), *_format_negative_durations(rows, stats))
    parts: list[str | pl.Expr] = ['<row r="', _ROW_NUMBER, '"', *_render_row_height(rows, styles, stats), ">"]
    columns = {name: _format_column(name, dtype, stats, locale) for name, dtype in rows.schema.items()}
    for (name, column), style in zip(columns.items(), styles, strict=True):
        cell = list(_render_cell(column, style))
        parts += cell if not stats[f"{name} null_count"] else [_concat_parts(cell).fill_null("")]
    lines = numbered.select(_concat_parts([*parts, "</row>"])).to_series()
    if lines.null_count():
        raise RuntimeError("a row was rendered as null")
    xml: bytes = lines.str.join("").cast(pl.Binary).item()
    return RenderedRows(xml, any(column.fallback_text is not None for column in columns.values()))


def _collect_stats(rows: pl.DataFrame) -> ColumnStats:
    """Collect what each column's formatting depends on; few columns contain anything unusual."""
    basic = rows.select(query for name, dtype in rows.schema.items() for query in _build_stats_queries(name, dtype))
    stats = basic.row(0, named=True)
    special = [name for name in rows.columns if stats.get(f"{name} special")]
    details = rows.select(query for name in special for query in _build_text_queries(name))
    return stats | (details.row(0, named=True) if special else {})


def _build_stats_queries(name: str, dtype: pl.DataType) -> Iterator[pl.Expr]:
    column = pl.col(name)
    yield column.null_count().alias(f"{name} null_count")
    if dtype == pl.String:
        yield has_special_text(column).alias(f"{name} special")
        yield column.str.len_bytes().max().alias(f"{name} max_bytes")
    elif dtype not in _NUMERIC_TYPES:
        raise TypeError(f"unsupported column type {dtype}")
    else:
        measured = column.to_physical() if dtype == pl.Date else column  # Python has no dates after the year 9999
        yield measured.min().alias(f"{name} min")
        yield measured.max().alias(f"{name} max")


def _build_text_queries(name: str) -> Iterator[pl.Expr]:
    yield has_escapable_text(pl.col(name)).alias(f"{name} escapable")
    yield has_significant_spaces(pl.col(name)).alias(f"{name} significant_spaces")
    yield pl.col(name).str.contains("\n", literal=True).any().alias(f"{name} has_newlines")


def _render_row_height(rows: pl.DataFrame, styles: Sequence[CellStyle], stats: ColumnStats) -> Iterator[pl.Expr]:
    """Render the height, because not every program computes itself how many lines a text takes."""
    lines = [
        estimate_line_count(pl.col(name), style.wrap_width, has_newlines=bool(stats.get(f"{name} has_newlines")))
        for name, style in zip(rows.columns, styles, strict=True)
        if style.wrap_width
        and ((stats[f"{name} max_bytes"] or 0) > style.wrap_width or stats.get(f"{name} has_newlines"))
    ]
    if lines:
        line_count = pl.max_horizontal(lines).fill_null(1).clip(1, _MAX_LINES)
        yield pl.lit(pl.Series(_HEIGHT_ATTRIBUTES)).gather(line_count)


def _format_column(name: str, dtype: pl.DataType, stats: ColumnStats, locale: Locale) -> FormattedColumn:
    column = pl.col(name)
    match dtype:
        case pl.String():
            value = escape_text(column) if stats.get(f"{name} escapable") else column
            return FormattedColumn(value, is_text=True, preserves_spaces=bool(stats.get(f"{name} significant_spaces")))
        case pl.Int64():
            formatted = column.cast(pl.String)
            return (
                FormattedColumn(formatted)
                if _is_all_within(stats, name, _INTEGER_BOUNDS)
                else FormattedColumn(formatted, formatted, _is_within(column, _INTEGER_BOUNDS))
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
    limit = (10**_MAX_DIGITS - 1) * Decimal(1).scaleb(-dtype.scale)
    formatted = pl.col(name).cast(pl.String)
    if _is_all_within(stats, name, (-limit, limit)):
        return FormattedColumn(formatted)
    text = formatted if locale == "en" else formatted.str.replace(".", ",", literal=True)
    return FormattedColumn(formatted, text, _is_within(pl.col(name), (-limit, limit)))


def _format_date(name: str, stats: ColumnStats) -> FormattedColumn:
    days = pl.col(name).to_physical()
    formatted = (days + _UNIX_EPOCH_DAY).cast(pl.String)
    if _is_all_within(stats, name, _DATE_BOUNDS):
        return FormattedColumn(formatted)
    return FormattedColumn(formatted, pl.col(name).dt.to_string("iso"), _is_within(days, _DATE_BOUNDS))


def _format_duration(name: str, stats: ColumnStats) -> FormattedColumn:
    """Format durations to the minute; Excel shows no negative ones."""
    minutes = pl.col(name).dt.total_minutes()
    days = (minutes / _MINUTES_PER_DAY).cast(pl.String)
    if _is_all_within(stats, name, _DURATION_BOUNDS):
        return FormattedColumn(days)
    return FormattedColumn(days, pl.col(f"{name} clock"), _is_within(pl.col(name), _DURATION_BOUNDS))


def _format_negative_durations(rows: pl.DataFrame, stats: ColumnStats) -> list[pl.Series]:
    """Build text columns for the durations that Excel cannot store."""
    names = [name for name in rows.select(cs.duration()).columns if not _is_all_within(stats, name, _DURATION_BOUNDS)]
    return [clock.alias(f"{clock.name} clock") for clock in format_clock_durations(rows.select(names)).get_columns()]


def _is_all_within(stats: ColumnStats, name: str, bounds: tuple[Any, Any]) -> bool:
    """Check a whole column by its extremes; usually all values fit, and none needs a check of its own."""
    minimum, maximum = stats[f"{name} min"], stats[f"{name} max"]
    return minimum is None or bool(bounds[0] <= minimum and maximum <= bounds[1])


def _is_within(value: pl.Expr, bounds: tuple[Any, Any]) -> pl.Expr:
    return value.is_between(pl.lit(bounds[0]), pl.lit(bounds[1]))


def _format_time(time: pl.Expr) -> pl.Expr:
    """Round down to the minute, so that a second before midnight is still the same day."""
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
    space_attribute = ' xml:space="preserve"' if preserves_spaces else ""
    yield from (
        f'<c r="{column_letters}',
        _ROW_NUMBER,
        f'" s="{style}" t="inlineStr"><is><t{space_attribute}>',
        text,
        "</t></is></c>",
    )


def _concat_parts(parts: Iterable[str | pl.Expr]) -> pl.Expr:
    """Concatenate parts; the result is null if one of them is. String parts contain no braces."""
    parts = list(parts)
    template = "".join(part if isinstance(part, str) else "{}" for part in parts)
    return pl.format(template, *(part for part in parts if not isinstance(part, str)))
