"""Holds an organisation's Excel template against its document."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.template.allowed_values import compare_values
from stafett.column_mapper.template.difference import TemplateDifference
from stafett.column_mapper.template.headers import compare_headers, find_header_cells
from stafett.column_mapper.template.template_workbook import TemplateWorkbook
from stafett.column_mapper.template.text_matching import match_texts
from stafett.domain.export import Locale


def compare_template(document: MappingDocument, template_path: Path, locale: Locale) -> list[TemplateDifference]:
    """Everything the two do not agree on; raises ``UnreadableTemplateError`` if there is nothing to compare."""
    return list(dict.fromkeys(_compare(document, TemplateWorkbook.load(template_path), locale)))


def _compare(
    document: MappingDocument, book: TemplateWorkbook, requested_locale: Locale
) -> Iterator[TemplateDifference]:
    wanted = document.layout.sheet.in_locale(requested_locale)
    sheet = _find_sheet(wanted, document, book)
    if sheet != wanted:
        yield _sheet_difference(wanted, sheet, book.sheet_names)
    if sheet is None:
        return
    locale = _detect_locale(document, book, sheet, requested_locale)
    if locale != requested_locale:
        detail = (
            f"The headers are the document's in “{locale}”, not in “{requested_locale}”; they are compared as such."
        )
        yield TemplateDifference(location=sheet, code="language", detail=detail)
    yield from _compare_columns(document, book, sheet, locale)


def _compare_columns(
    document: MappingDocument, book: TemplateWorkbook, sheet: str, locale: Locale
) -> Iterator[TemplateDifference]:
    headings = find_header_cells(book, sheet, document, locale)
    if not headings:
        detail = f"The sheet “{sheet}” has no headers; the document has them begin at {document.layout.start_cell}."
        yield TemplateDifference(location=sheet, code="no_headers", detail=detail)
        return
    texts = [column.header.in_locale(locale) for column in document.columns]
    pairs = match_texts(texts, [heading.text for heading in headings])
    yield from compare_headers(document, sheet, headings, pairs, locale)
    lists = book.list_validations(sheet)
    for found, meant in pairs.items():
        yield from compare_values(document, document.columns[meant], book, headings[found], lists, locale)


def _find_sheet(expected_name: str, document: MappingDocument, book: TemplateWorkbook) -> str | None:
    """The sheet of that name, or the one that was probably meant by it."""
    likely = (expected_name, *(document.layout.sheet.in_locale(locale) for locale in get_args(Locale)))
    known = next((name for name in likely if name in book.sheet_names), None)
    if known or len(book.sheet_names) == 1:
        return known or book.sheet_names[0]
    likest = match_texts([expected_name], book.sheet_names)
    return book.sheet_names[next(iter(likest))] if likest else None


def _detect_locale(document: MappingDocument, book: TemplateWorkbook, sheet: str, requested_locale: Locale) -> Locale:
    """The one that most headers are in; the one that is asked for, unless another has more."""

    def known(locale: Locale) -> tuple[int, bool]:
        texts = {column.header.in_locale(locale) for column in document.columns}
        headings = find_header_cells(book, sheet, document, locale)
        return len(texts & {heading.text for heading in headings}), locale == requested_locale

    return max(get_args(Locale), key=known)


def _sheet_difference(expected_name: str, sheet: str | None, sheet_names: tuple[str, ...]) -> TemplateDifference:
    if sheet is None:
        names = ", ".join(f"“{name}”" for name in sheet_names[:20])
        detail = f"There is no sheet “{expected_name}”; there are: {names}."
        return TemplateDifference(location="workbook", code="sheet_missing", detail=detail)
    detail = f"There is no sheet “{expected_name}”; “{sheet}” is probably meant, and is compared."
    return TemplateDifference(location=sheet, code="sheet_spelling", detail=detail)
