"""Finds the header cells of a template, and compares them and their order with the document."""

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
    """A header in the template, with its position."""

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
    """Return the cells of the row with the most headers of the document. The layout's header row wins a tie."""
    start_row, start_column = coordinate_to_tuple(document.layout.start_cell)
    width = start_column + len(document.columns) + _EXTRA_COLUMNS
    rows = book.read_texts(sheet, (1, 1), (start_row + _EXTRA_ROWS, width))
    texts = {column.header.in_locale(locale) for column in document.columns}
    match_counts = [len(texts & set(row)) for row in rows]
    best = max(range(len(rows)), key=lambda index: (match_counts[index], index == start_row - 1), default=0)
    cells = rows[best] if rows else []
    return [HeaderCell(sheet, best + 1, column, text) for column, text in enumerate(cells, start=1) if text]


def compare_headers(
    document: MappingDocument, sheet: str, header_cells: list[HeaderCell], matches: dict[int, int], locale: Locale
) -> Iterator[TemplateDifference]:
    yield from _compare_position(document, sheet, header_cells)
    yield from _find_gaps(header_cells)
    texts = [column.header.in_locale(locale) for column in document.columns]
    for index, cell in enumerate(header_cells):
        if index not in matches:
            again = " a second time" if cell.text in texts else ""
            detail = f"The template has “{cell.text}”{again}; the document has no such column."
            yield TemplateDifference(location=cell.location, code="header_extra", detail=detail)
        elif texts[matches[index]] != cell.text:
            column_id, expected = document.columns[matches[index]].id, texts[matches[index]]
            detail = f"The template has “{cell.text}”; the document has “{expected}” (column {column_id})."
            yield TemplateDifference(location=cell.location, code="header_spelling", detail=detail)
    for index, column in enumerate(document.columns):
        if index not in matches.values():
            detail = f"The template has no header “{texts[index]}”."
            yield TemplateDifference(location=f"column {column.id}", code="header_missing", detail=detail)
    yield from _compare_order(texts, header_cells, matches)


def _compare_position(
    document: MappingDocument, sheet: str, header_cells: list[HeaderCell]
) -> Iterator[TemplateDifference]:
    row, column = coordinate_to_tuple(document.layout.start_cell)
    first = header_cells[0]
    if first.row != row or column not in {cell.column for cell in header_cells}:
        start = format_cell_reference(first.row, first.column)
        detail = f"The headers start at {start}; in the document they start at {document.layout.start_cell}."
        yield TemplateDifference(
            location=format_cell_location(sheet, first.row, first.column), code="header_place", detail=detail
        )


def _find_gaps(header_cells: list[HeaderCell]) -> Iterator[TemplateDifference]:
    for before, after in pairwise(header_cells):
        if after.column > before.column + 1:
            location = format_cell_location(before.sheet, before.row, before.column + 1)
            detail = f"The header row is empty between “{before.text}” and “{after.text}”."
            yield TemplateDifference(location=location, code="header_empty", detail=detail)


def _compare_order(
    texts: list[str], header_cells: list[HeaderCell], matches: dict[int, int]
) -> Iterator[TemplateDifference]:
    matched_cells = list(matches)
    for moved in find_out_of_order(list(matches.values())):
        cell, index = header_cells[matched_cells[moved]], matches[matched_cells[moved]]
        position = f"after “{texts[index - 1]}”" if index else "first"
        detail = f"“{texts[index]}” is out of order: in the document it comes {position}."
        yield TemplateDifference(location=cell.location, code="header_order", detail=detail)
