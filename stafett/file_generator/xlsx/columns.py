"""Columns of a sheet, built from the columns of the mapping document."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stafett.column_mapper.cells import list_possible_values
from stafett.column_mapper.document import ChoiceColumn, Column, DateColumn, DecimalColumn, MappingDocument, TextColumn
from stafett.domain.export import Locale
from stafett.file_generator.xlsx.builder import TEXT_FORMAT
from stafett.file_generator.xlsx.cell_text import (
    MAX_HEADER_UNITS,
    count_utf16_units,
    replace_control_characters,
    take_utf16_units,
)

_NUMBER_FORMATS = {"integer": "0", "time": "hh:mm", "duration": "[h]:mm"}
_DEFAULT_WIDTHS = {"text": 30.0, "integer": 11.0, "decimal": 12.0, "date": 12.0, "time": 9.0, "duration": 10.0}
_MAX_WIDTH, _FILTER_BUTTON_WIDTH = 40.0, 4
_ESCAPE_SEQUENCE = re.compile("(_x[0-9A-Fa-f]{4}_)")


@dataclass(frozen=True)
class AllowedValues:
    """The values of a cell's dropdown list, and whether other values or blanks are allowed."""

    values: tuple[str, ...]
    allows_other_values: bool
    allows_blank: bool


@dataclass(frozen=True)
class SheetColumn:
    """Header, width, format and allowed values of a column in a sheet; one for programs is hidden."""

    header: str
    width: float
    number_format: str
    wraps: bool
    id: str | None = None
    allowed_values: AllowedValues | None = None
    is_hidden: bool = False


def build_sheet_columns(
    document: MappingDocument, locale: Locale, extra_headers: Sequence[str] = ()
) -> tuple[SheetColumn, ...]:
    """Build the document's columns, followed by text columns with the extra headers."""
    document_headers = [column.header.in_locale(locale) for column in document.columns]
    headers = list(make_unique_headers([*document_headers, *extra_headers]))
    document_columns = [
        _build_sheet_column(document, column, header, locale)
        for column, header in zip(document.columns, headers, strict=False)
    ]
    extra_columns = [
        SheetColumn(header, _MAX_WIDTH, TEXT_FORMAT, wraps=True) for header in headers[len(document_columns) :]
    ]
    return (*document_columns, *extra_columns)


def make_unique_headers(headers: Sequence[str]) -> Iterator[str]:
    """Make headers valid for an Excel table: short, without control characters, and unique ignoring case."""
    used: set[str] = set()
    for header in headers:
        plain = take_utf16_units(replace_control_characters(header), MAX_HEADER_UNITS)
        unique, number = plain, 1
        while unique.lower() in used:
            number += 1
            suffix = f" ({number})"
            unique = take_utf16_units(plain, MAX_HEADER_UNITS - count_utf16_units(suffix)) + suffix
        used.add(unique.lower())
        yield unique


def escape_header_attribute(header: str) -> str:
    """Escape a header as XlsxWriter escapes it in the header's cell, because Excel requires the two to be equal."""
    return _ESCAPE_SEQUENCE.sub(r"_x005F\1", header)


def _build_sheet_column(document: MappingDocument, column: Column, header: str, locale: Locale) -> SheetColumn:
    values = list_possible_values(document, column, locale)
    return SheetColumn(
        header=header,
        width=_compute_width(column, header, values or ()),
        number_format=replace_control_characters(column.number_format or get_number_format(column, locale)),
        wraps=isinstance(column, TextColumn),
        id=column.id,
        allowed_values=_build_allowed_values(column, values),
        is_hidden=column.hidden,
    )


def get_number_format(column: Column, locale: Locale) -> str:
    """Return a column's default number format, which blank templates use too."""
    match column:
        case DateColumn():
            return get_date_format(locale)
        case DecimalColumn(decimals=decimals):
            return f"0.{'0' * decimals}" if decimals else "0"
        case _:
            return _NUMBER_FORMATS.get(column.type, TEXT_FORMAT)


def get_date_format(locale: Locale) -> str:
    return "yyyy-mm-dd" if locale == "en" else "dd.mm.yyyy"


def _compute_width(column: Column, header: str, values: Sequence[str]) -> float:
    """Use the document's width, widened so that no word of the header is broken."""
    if column.width:
        longest_word = max(map(len, header.split()), default=0)
        return max(column.width, min(longest_word + _FILTER_BUTTON_WIDTH, _MAX_WIDTH))
    longest = max((len(value) + 2 for value in values), default=0)
    return min(max(_DEFAULT_WIDTHS.get(column.type, 0), longest, len(header) + _FILTER_BUTTON_WIDTH), _MAX_WIDTH)


def _build_allowed_values(column: Column, values: Sequence[str] | None) -> AllowedValues | None:
    if values is None:
        return None
    allows_other_values = isinstance(column, ChoiceColumn) and column.unknown == "keep"
    return AllowedValues(
        tuple(values), allows_other_values=allows_other_values, allows_blank=column.required is not True
    )
