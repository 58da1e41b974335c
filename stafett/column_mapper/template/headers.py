"""The texts above a template's columns, and their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from openpyxl.utils.cell import coordinate_to_tuple

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.template.difference import Difference, at_cell, cell_name
from stafett.column_mapper.template.template_workbook import TemplateBook
from stafett.column_mapper.template.text_matching import out_of_order
from stafett.domain.export import Locale

_ROWS_MORE, _COLUMNS_MORE = 50, 100


@dataclass(frozen=True)
class Heading:
    """A text above a column, where it stands."""

    sheet: str
    row: int
    column: int
    text: str

    @property
    def place(self) -> str:
        return at_cell(self.sheet, self.row, self.column)


def headings_in(book: TemplateBook, sheet: str, document: MappingDocument, locale: Locale) -> list[Heading]:
    """The row at the layout's start cell, unless another one looks more like the document's headers."""
    start_row, start_column = coordinate_to_tuple(document.layout.start_cell)
    width = start_column + len(document.columns) + _COLUMNS_MORE
    rows = book.texts(sheet, (1, 1), (start_row + _ROWS_MORE, width))
    texts = {column.header.in_(locale) for column in document.columns}
    known = [len(texts & set(row)) for row in rows]
    row = max(range(len(rows)), key=lambda number: (known[number], number == start_row - 1), default=0)
    found = rows[row] if rows else []
    return [Heading(sheet, row + 1, number, text) for number, text in enumerate(found, start=1) if text]


def differences_of_headers(
    document: MappingDocument, sheet: str, headings: list[Heading], pairs: dict[int, int], locale: Locale
) -> Iterator[Difference]:
    yield from _of_place(document, sheet, headings)
    yield from _of_gaps(headings)
    texts = [column.header.in_(locale) for column in document.columns]
    for number, heading in enumerate(headings):
        if number not in pairs:
            again = " a second time" if heading.text in texts else ""
            detail = f"The template has “{heading.text}”{again}, the document has no such column."
            yield Difference(place=heading.place, code="header_extra", detail=detail)
        elif texts[pairs[number]] != heading.text:
            meant = document.columns[pairs[number]]
            detail = f"The template says “{heading.text}”, the document “{texts[pairs[number]]}” (column {meant.id})."
            yield Difference(place=heading.place, code="header_spelling", detail=detail)
    for number, column in enumerate(document.columns):
        if number not in pairs.values():
            detail = f"The template has no “{texts[number]}”."
            yield Difference(place=f"column {column.id}", code="header_missing", detail=detail)
    yield from _of_order(texts, headings, pairs)


def _of_place(document: MappingDocument, sheet: str, headings: list[Heading]) -> Iterator[Difference]:
    row, column = coordinate_to_tuple(document.layout.start_cell)
    first = headings[0]
    if first.row != row or column not in {heading.column for heading in headings}:
        begin = cell_name(first.row, first.column)
        detail = f"The headers begin at {begin}, in the document at {document.layout.start_cell}."
        yield Difference(place=at_cell(sheet, first.row, first.column), code="header_place", detail=detail)


def _of_gaps(headings: list[Heading]) -> Iterator[Difference]:
    for before, after in pairwise(headings):
        if after.column > before.column + 1:
            place = at_cell(before.sheet, before.row, before.column + 1)
            detail = f"There is nothing between “{before.text}” and “{after.text}”."
            yield Difference(place=place, code="header_empty", detail=detail)


def _of_order(texts: list[str], headings: list[Heading], pairs: dict[int, int]) -> Iterator[Difference]:
    found = list(pairs)
    for moved in out_of_order(list(pairs.values())):
        heading, number = headings[found[moved]], pairs[found[moved]]
        where = f"after “{texts[number - 1]}”" if number else "first"
        detail = f"“{texts[number]}” stands in another place: in the document it comes {where}."
        yield Difference(place=heading.place, code="header_order", detail=detail)
