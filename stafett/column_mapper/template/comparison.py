"""Compares an organisation's Excel template with its mapping document."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.template.allowed_values import compare_values
from stafett.column_mapper.template.difference import TemplateDifference
from stafett.column_mapper.template.headers import compare_headers, find_header_cells
from stafett.column_mapper.template.list_validations import ListIndex
from stafett.column_mapper.template.template_workbook import TemplateWorkbook
from stafett.column_mapper.template.text_matching import match_texts
from stafett.domain.export import Locale

_MAX_DIFFERENCES = 1000


def compare_template(document: MappingDocument, template_path: Path, locale: Locale) -> list[TemplateDifference]:
    """List all differences. Raises ``UnreadableTemplateError`` if the file is not a readable workbook."""
    differences = list(dict.fromkeys(_compare(document, TemplateWorkbook.load(template_path), locale)))
    if len(differences) <= _MAX_DIFFERENCES:
        return differences
    detail = f"{len(differences) - _MAX_DIFFERENCES + 1} more differences are not listed."
    more = TemplateDifference(location="workbook", code="more_differences", detail=detail)
    return [*differences[: _MAX_DIFFERENCES - 1], more]


def _compare(
    document: MappingDocument, book: TemplateWorkbook, requested_locale: Locale
) -> Iterator[TemplateDifference]:
    expected_name = document.layout.sheet.in_locale(requested_locale)
    sheet = _find_sheet(expected_name, document, book)
    if sheet != expected_name:
        yield _sheet_difference(expected_name, sheet, book.sheet_names)
    if sheet is None:
        return
    locale = _detect_locale(document, book, sheet, requested_locale)
    if locale != requested_locale:
        detail = f"The headers are in “{locale}”, not in “{requested_locale}”; the template is compared in “{locale}”."
        yield TemplateDifference(location=sheet, code="language", detail=detail)
    yield from _compare_columns(document, book, sheet, locale)


def _compare_columns(
    document: MappingDocument, book: TemplateWorkbook, sheet: str, locale: Locale
) -> Iterator[TemplateDifference]:
    header_cells = find_header_cells(book, sheet, document, locale)
    if not header_cells:
        detail = f"The sheet “{sheet}” has no headers; in the document they start at {document.layout.start_cell}."
        yield TemplateDifference(location=sheet, code="no_headers", detail=detail)
        return
    texts = [column.header.in_locale(locale) for column in document.columns]
    matches = match_texts(texts, [cell.text for cell in header_cells])
    yield from compare_headers(document, sheet, header_cells, matches, locale)
    lists = ListIndex(book.list_validations(sheet))
    for actual, expected in matches.items():
        yield from compare_values(document, document.columns[expected], book, header_cells[actual], lists, locale)


def _find_sheet(expected_name: str, document: MappingDocument, book: TemplateWorkbook) -> str | None:
    """Find the sheet by its name, its name in another language, or a similar name. An only sheet always matches."""
    candidates = (expected_name, *(document.layout.sheet.in_locale(locale) for locale in get_args(Locale)))
    sheet = next((name for name in candidates if name in book.sheet_names), None)
    if sheet or len(book.sheet_names) == 1:
        return sheet or book.sheet_names[0]
    matches = match_texts([expected_name], book.sheet_names)
    return book.sheet_names[next(iter(matches))] if matches else None


def _detect_locale(document: MappingDocument, book: TemplateWorkbook, sheet: str, requested_locale: Locale) -> Locale:
    """Detect the language that most headers are in. The requested language wins a tie."""

    def count_matches(locale: Locale) -> tuple[int, bool]:
        texts = {column.header.in_locale(locale) for column in document.columns}
        header_cells = find_header_cells(book, sheet, document, locale)
        return len(texts & {cell.text for cell in header_cells}), locale == requested_locale

    return max(get_args(Locale), key=count_matches)


def _sheet_difference(expected_name: str, sheet: str | None, sheet_names: tuple[str, ...]) -> TemplateDifference:
    if sheet is None:
        names = ", ".join(f"“{name}”" for name in sheet_names[:20])
        detail = f"There is no sheet “{expected_name}”. The workbook has: {names}."
        return TemplateDifference(location="workbook", code="sheet_missing", detail=detail)
    detail = f"There is no sheet “{expected_name}”; the sheet “{sheet}” is compared instead."
    return TemplateDifference(location=sheet, code="sheet_spelling", detail=detail)
