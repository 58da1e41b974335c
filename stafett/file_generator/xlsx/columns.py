"""What a document's columns are in a sheet."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stafett.column_mapper.cells import written_in
from stafett.column_mapper.document import ChoiceColumn, Column, DateColumn, DecimalColumn, MappingDocument, TextColumn
from stafett.domain.export import Locale
from stafett.file_generator.xlsx.builder import TEXT_FORMAT
from stafett.file_generator.xlsx.cell_text import LONGEST_HEADER, beginning, units, visible

_NUMBER_FORMATS = {"integer": "0", "time": "hh:mm", "duration": "[h]:mm"}
_WIDTHS = {"text": 30.0, "integer": 11.0, "decimal": 12.0, "date": 12.0, "time": 9.0, "duration": 10.0}
_WIDEST, _ROOM_FOR_THE_FILTER = 40.0, 4
_LOOKS_ESCAPED = re.compile("(_x[0-9A-Fa-f]{4}_)")


@dataclass(frozen=True)
class AllowedValues:
    """What somebody may choose in a cell, and whether something else may stand there too."""

    values: tuple[str, ...]
    others_too: bool
    nothing_too: bool


@dataclass(frozen=True)
class SheetColumn:
    """A column of the report as a sheet has it."""

    header: str
    width: float
    number_format: str
    wraps: bool
    id: str | None = None
    allowed: AllowedValues | None = None


def sheet_columns(document: MappingDocument, locale: Locale, further: Sequence[str] = ()) -> tuple[SheetColumn, ...]:
    """The document's columns, and texts of ours behind them."""
    given = [column.header.in_(locale) for column in document.columns]
    headers = list(table_headers([*given, *further]))
    own = [
        _sheet_column(document, column, header, locale)
        for column, header in zip(document.columns, headers, strict=False)
    ]
    ours = [SheetColumn(header, _WIDEST, TEXT_FORMAT, wraps=True) for header in headers[len(own) :]]
    return (*own, *ours)


def table_headers(headers: Sequence[str]) -> Iterator[str]:
    """As Excel takes them for a table: short, visible, and each once, capitals or not."""
    seen: set[str] = set()
    for header in headers:
        plain = beginning(visible(header), LONGEST_HEADER)
        distinct, number = plain, 1
        while distinct.lower() in seen:
            number += 1
            suffix = f" ({number})"
            distinct = beginning(plain, LONGEST_HEADER - units(suffix)) + suffix
        seen.add(distinct.lower())
        yield distinct


def as_attribute(header: str) -> str:
    """What XlsxWriter does to the same text in the header's cell: the two must be one to Excel."""
    return _LOOKS_ESCAPED.sub(r"_x005F\1", header)


def _sheet_column(document: MappingDocument, column: Column, header: str, locale: Locale) -> SheetColumn:
    values = written_in(document, column, locale)
    return SheetColumn(
        header=header,
        width=_width(column, header, values or ()),
        number_format=visible(column.number_format or number_format(column, locale)),
        wraps=isinstance(column, TextColumn),
        id=column.id,
        allowed=_allowed(column, values),
    )


def number_format(column: Column, locale: Locale) -> str:
    """As blank templates have it."""
    match column:
        case DateColumn():
            return day_format(locale)
        case DecimalColumn(decimals=decimals):
            return f"0.{'0' * decimals}" if decimals else "0"
        case _:
            return _NUMBER_FORMATS.get(column.type, TEXT_FORMAT)


def day_format(locale: Locale) -> str:
    return "yyyy-mm-dd" if locale == "en" else "dd.mm.yyyy"


def _width(column: Column, header: str, values: Sequence[str]) -> float:
    """What the document says, as long as no word of the header is broken for it."""
    if column.width:
        longest_word = max(map(len, header.split()), default=0)
        return max(column.width, min(longest_word + _ROOM_FOR_THE_FILTER, _WIDEST))
    longest = max((len(value) + 2 for value in values), default=0)
    return min(max(_WIDTHS.get(column.type, 0), longest, len(header) + _ROOM_FOR_THE_FILTER), _WIDEST)


def _allowed(column: Column, values: Sequence[str] | None) -> AllowedValues | None:
    if values is None:
        return None
    keeps = isinstance(column, ChoiceColumn) and column.unknown == "keep"
    return AllowedValues(tuple(values), others_too=keeps, nothing_too=column.required is not True)
