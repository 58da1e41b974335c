"""The texts above a template's columns, and their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from openpyxl.utils.cell import coordinate_to_tuple

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.template.difference import TemplateDifference, format_cell_location, format_cell_reference
from stafett.column_mapper.template.template_workbook import TemplateWorkbook
from stafett.column_mapper.template.text_matching import find_out_of_order
from stafett.domain.export import Locale

_EXTRA_ROWS, _EXTRA_COLUMNS = 50, 100


@dataclass(frozen=True)
class HeaderCell:
    """A text above a column, where it stands."""

    sheet: str
    row: int
    column: int
    text: str

    @property
    def location(self) -> str:
        return format_cell_location(self.sheet, self.row, self.column)


def find_header_cells(
    book: TemplateWorkbook, sheet: str, document: MappingDocument, locale: Locale
) -> list[HeaderCell]:
    """The row at the layout's start cell, unless another one looks more like the document's headers."""
    start_row, start_column = coordinate_to_tuple(document.layout.start_cell)
    width = start_column + len(document.columns) + _EXTRA_COLUMNS
    rows = book.read_texts(sheet, (1, 1), (start_row + _EXTRA_ROWS, width))
    texts = {column.header.in_locale(locale) for column in document.columns}
    known = [len(texts & set(row)) for row in rows]
    row = max(range(len(rows)), key=lambda number: (known[number], number == start_row - 1), default=0)
    found = rows[row] if rows else []
    return [HeaderCell(sheet, row + 1, number, text) for number, text in enumerate(found, start=1) if text]


def compare_headers(
    document: MappingDocument, sheet: str, header_cells: list[HeaderCell], matches: dict[int, int], locale: Locale
) -> Iterator[TemplateDifference]:
    yield from _compare_position(document, sheet, header_cells)
    yield from _find_gaps(header_cells)
    texts = [column.header.in_locale(locale) for column in document.columns]
    for number, heading in enumerate(header_cells):
        if number not in matches:
            again = " a second time" if heading.text in texts else ""
            detail = f"The template has “{heading.text}”{again}, the document has no such column."
            yield TemplateDifference(location=heading.location, code="header_extra", detail=detail)
        elif texts[matches[number]] != heading.text:
            meant = document.columns[matches[number]]
            detail = f"The template says “{heading.text}”, the document “{texts[matches[number]]}” (column {meant.id})."
            yield TemplateDifference(location=heading.location, code="header_spelling", detail=detail)
    for number, column in enumerate(document.columns):
        if number not in matches.values():
            detail = f"The template has no “{texts[number]}”."
            yield TemplateDifference(location=f"column {column.id}", code="header_missing", detail=detail)
    yield from _compare_order(texts, header_cells, matches)


def _compare_position(
    document: MappingDocument, sheet: str, header_cells: list[HeaderCell]
) -> Iterator[TemplateDifference]:
    row, column = coordinate_to_tuple(document.layout.start_cell)
    first = header_cells[0]
    if first.row != row or column not in {heading.column for heading in header_cells}:
        begin = format_cell_reference(first.row, first.column)
        detail = f"The headers begin at {begin}, in the document at {document.layout.start_cell}."
        yield TemplateDifference(
            location=format_cell_location(sheet, first.row, first.column), code="header_place", detail=detail
        )


def _find_gaps(header_cells: list[HeaderCell]) -> Iterator[TemplateDifference]:
    for before, after in pairwise(header_cells):
        if after.column > before.column + 1:
            place = format_cell_location(before.sheet, before.row, before.column + 1)
            detail = f"There is nothing between “{before.text}” and “{after.text}”."
            yield TemplateDifference(location=place, code="header_empty", detail=detail)


def _compare_order(
    texts: list[str], header_cells: list[HeaderCell], matches: dict[int, int]
) -> Iterator[TemplateDifference]:
    found = list(matches)
    for moved in find_out_of_order(list(matches.values())):
        heading, number = header_cells[found[moved]], matches[found[moved]]
        where = f"after “{texts[number - 1]}”" if number else "first"
        detail = f"“{texts[number]}” stands in another place: in the document it comes {where}."
        yield TemplateDifference(location=heading.location, code="header_order", detail=detail)
