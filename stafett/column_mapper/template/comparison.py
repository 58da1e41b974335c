"""Compares an organisation's Excel template with its mapping document."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher, get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter, quote_sheetname

from stafett.column_mapper.cells import list_possible_values
from stafett.column_mapper.document import Column, MappingDocument
from stafett.column_mapper.template.template_workbook import CellRange, TemplateWorkbook
from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel

_EXTRA_ROWS, _EXTRA_COLUMNS = 50, 100
_MIN_SIMILARITY, _MAX_COMPARISONS = 0.8, 10_000


class TemplateDifference(FrozenModel):
    """One difference, located at a cell or sheet of the template, or at a column of the document."""

    location: str
    code: str
    detail: str


class _HeaderCell(NamedTuple):
    """A header in the template, with its position."""

    sheet: str
    row: int
    column: int
    text: str

    @property
    def reference(self) -> str:
        return f"{get_column_letter(self.column)}{self.row}"

    def difference(self, code: str, detail: str) -> TemplateDifference:
        sheet = self.sheet if self.sheet.isalnum() else quote_sheetname(self.sheet)
        return TemplateDifference(location=f"{sheet}!{self.reference}", code=code, detail=detail)


def compare_template(document: MappingDocument, template_path: Path, locale: Locale) -> list[TemplateDifference]:
    """List all differences. Raises ``UnreadableTemplateError`` if the file is not a readable workbook."""
    return list(_compare(document, TemplateWorkbook.load(template_path), locale))


def _compare(document: MappingDocument, book: TemplateWorkbook, locale: Locale) -> Iterator[TemplateDifference]:
    expected_name = document.layout.sheet.in_locale(locale)
    sheet = _find_sheet(expected_name, book.sheet_names)
    if sheet is None:
        names = ", ".join(f"“{name}”" for name in book.sheet_names)
        detail = f"There is no sheet “{expected_name}”. The workbook has: {names}."
        yield TemplateDifference(location="workbook", code="sheet_missing", detail=detail)
        return
    if sheet != expected_name:
        detail = f"There is no sheet “{expected_name}”; the sheet “{sheet}” is compared instead."
        yield TemplateDifference(location=sheet, code="sheet_spelling", detail=detail)
    columns = {column.header.in_locale(locale): column for column in document.columns}
    cells = _find_header_cells(book, sheet, document.layout.start_cell, columns)
    if not cells:
        detail = f"The sheet “{sheet}” has no headers; in the document they start at {document.layout.start_cell}."
        yield TemplateDifference(location=sheet, code="no_headers", detail=detail)
        return
    yield from _compare_position(document.layout.start_cell, cells)
    matches = _match_headers(list(columns), cells)
    yield from _compare_headers(columns, cells, matches)
    lists = book.read_list_validations(sheet)
    for cell, text in matches.items():
        expected = list_possible_values(document, columns[text], locale)
        for formula in dict.fromkeys(one.formula for one in lists if one.applies_below(cell.row, cell.column)):
            yield from _compare_list(cell, columns[text], expected, formula, book.resolve_list(sheet, formula))


def _find_sheet(expected_name: str, sheet_names: Sequence[str]) -> str | None:
    """Find the sheet by its name, or a similar one. An only sheet always matches."""
    if len(sheet_names) == 1:
        return sheet_names[0]
    return next(iter(get_close_matches(expected_name, sheet_names, n=1, cutoff=_MIN_SIMILARITY)), None)


def _find_header_cells(
    book: TemplateWorkbook, sheet: str, start_cell: str, headers: Iterable[str]
) -> list[_HeaderCell]:
    """Return the cells of the row with the most headers of the document. The layout's header row wins a tie."""
    start_row, start_column = coordinate_to_tuple(start_cell)
    texts = set(headers)
    last_column = start_column + len(texts) + _EXTRA_COLUMNS
    rows = book.read_texts(sheet, CellRange(1, 1, last_column, start_row + _EXTRA_ROWS))
    match_counts = [len(texts.intersection(row)) for row in rows]
    best = max(range(len(rows)), key=lambda index: (match_counts[index], index == start_row - 1), default=0)
    cells = rows[best] if rows else []
    return [_HeaderCell(sheet, best + 1, column, text) for column, text in enumerate(cells, start=1) if text]


def _compare_position(start_cell: str, cells: Sequence[_HeaderCell]) -> Iterator[TemplateDifference]:
    row, column = coordinate_to_tuple(start_cell)
    first = cells[0]
    if first.row != row or column not in {cell.column for cell in cells}:
        detail = f"The headers start at {first.reference}; in the document they start at {start_cell}."
        yield first.difference("header_place", detail)
    for before, after in pairwise(cells):
        if after.column > before.column + 1:
            gap = before._replace(column=before.column + 1)
            detail = f"The header row is empty between “{before.text}” and “{after.text}”."
            yield gap.difference("header_empty", detail)


def _match_headers(expected: Sequence[str], cells: Sequence[_HeaderCell]) -> dict[_HeaderCell, str]:
    """Match the first cell with each text with the equal header of the document, or else with a similar one."""
    pairs = _pair_texts(expected, [cell.text for cell in cells])
    return {cell: pairs.pop(cell.text) for cell in cells if cell.text in pairs}


def _compare_headers(
    columns: dict[str, Column], cells: Sequence[_HeaderCell], matches: dict[_HeaderCell, str]
) -> Iterator[TemplateDifference]:
    for cell in cells:
        if cell not in matches:
            again = " a second time" if cell.text in columns else ""
            detail = f"The template has “{cell.text}”{again}; the document has no such column."
            yield cell.difference("header_extra", detail)
        elif (expected := matches[cell]) != cell.text:
            column_id = columns[expected].id
            detail = f"The template has “{cell.text}”; the document has “{expected}” (column {column_id})."
            yield cell.difference("header_spelling", detail)
    for text, column in columns.items():
        if text not in matches.values():
            detail = f"The template has no header “{text}”."
            yield TemplateDifference(location=f"column {column.id}", code="header_missing", detail=detail)
    yield from _compare_order(list(columns), matches)


def _compare_order(expected: Sequence[str], matches: dict[_HeaderCell, str]) -> Iterator[TemplateDifference]:
    cells, order = list(matches), [text for text in expected if text in matches.values()]
    for tag, first, last, _, _ in SequenceMatcher(None, list(matches.values()), order, autojunk=False).get_opcodes():
        for cell in cells[first:last] if tag != "equal" else ():
            index = expected.index(matches[cell])
            position = f"after “{expected[index - 1]}”" if index else "first"
            detail = f"“{matches[cell]}” is out of order: in the document it comes {position}."
            yield cell.difference("header_order", detail)


def _compare_list(
    cell: _HeaderCell, column: Column, expected: list[str] | None, formula: str, allowed: list[str] | None
) -> Iterator[TemplateDifference]:
    """Compare the values that the template allows with those that the document writes."""
    if expected is None:
        detail = f"The template has a list for “{cell.text}”; the document's column is of type {column.type}."
        yield cell.difference("list_unexpected", detail)
        return
    if allowed is None:
        detail = f"The list for “{cell.text}” is computed ({formula}) and must be compared manually."
        yield cell.difference("list_computed", detail)
        return
    pairs, its_list = _pair_texts(expected, allowed), f"The template's list for “{cell.text}”"
    for value in dict.fromkeys(allowed):
        if value not in pairs:
            yield cell.difference("value_extra", f"{its_list} has “{value}”, which the document never writes.")
        elif pairs[value] != value:
            yield cell.difference("value_spelling", f"{its_list} has “{value}”; the document writes “{pairs[value]}”.")
    for label in dict.fromkeys(expected):
        if label not in pairs.values():
            yield cell.difference("value_missing", f"{its_list} lacks “{label}”, which the document writes.")


def _pair_texts(expected: Sequence[str], actual: Sequence[str]) -> dict[str, str]:
    """Pair each actual text with the equal expected one, or else with the most similar one that is left."""
    pairs = {text: text for text in actual if text in expected}
    remaining = {text.casefold(): text for text in expected if text not in pairs}
    unpaired = [text for text in dict.fromkeys(actual) if text not in pairs]
    if len(remaining) * len(unpaired) > _MAX_COMPARISONS:
        return pairs
    for text in unpaired:
        for similar in get_close_matches(text.casefold(), remaining, n=1, cutoff=_MIN_SIMILARITY):
            pairs[text] = remaining.pop(similar)
    return pairs
