"""Holds an organisation's Excel template against its document."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.template.allowed_values import differences_of_values
from stafett.column_mapper.template.difference import Difference
from stafett.column_mapper.template.headers import differences_of_headers, headings_in
from stafett.column_mapper.template.template_workbook import TemplateBook
from stafett.column_mapper.template.text_matching import paired
from stafett.domain.export import Locale


def differences(document: MappingDocument, workbook: Path, locale: Locale) -> list[Difference]:
    """Everything the two do not agree on; raises ``UnreadableTemplateError`` if there is nothing to compare."""
    return list(dict.fromkeys(_compared(document, TemplateBook.opened(workbook), locale)))


def _compared(document: MappingDocument, book: TemplateBook, asked: Locale) -> Iterator[Difference]:
    wanted = document.layout.sheet.in_(asked)
    sheet = _meant(wanted, document, book)
    if sheet != wanted:
        yield _of_sheet(wanted, sheet, book.sheets)
    if sheet is None:
        return
    locale = _language(document, book, sheet, asked)
    if locale != asked:
        detail = f"The headers are the document's in “{locale}”, not in “{asked}”; they are compared as such."
        yield Difference(place=sheet, code="language", detail=detail)
    yield from _of_columns(document, book, sheet, locale)


def _of_columns(document: MappingDocument, book: TemplateBook, sheet: str, locale: Locale) -> Iterator[Difference]:
    headings = headings_in(book, sheet, document, locale)
    if not headings:
        detail = f"The sheet “{sheet}” has no headers; the document has them begin at {document.layout.start_cell}."
        yield Difference(place=sheet, code="no_headers", detail=detail)
        return
    texts = [column.header.in_(locale) for column in document.columns]
    pairs = paired(texts, [heading.text for heading in headings])
    yield from differences_of_headers(document, sheet, headings, pairs, locale)
    lists = book.lists(sheet)
    for found, meant in pairs.items():
        yield from differences_of_values(document, document.columns[meant], book, headings[found], lists, locale)


def _meant(wanted: str, document: MappingDocument, book: TemplateBook) -> str | None:
    """The sheet of that name, or the one that was probably meant by it."""
    likely = (wanted, *(document.layout.sheet.in_(locale) for locale in get_args(Locale)))
    known = next((name for name in likely if name in book.sheets), None)
    if known or len(book.sheets) == 1:
        return known or book.sheets[0]
    likest = paired([wanted], book.sheets)
    return book.sheets[next(iter(likest))] if likest else None


def _language(document: MappingDocument, book: TemplateBook, sheet: str, asked: Locale) -> Locale:
    """The one that most headers are in; the one that is asked for, unless another has more."""

    def known(locale: Locale) -> tuple[int, bool]:
        texts = {column.header.in_(locale) for column in document.columns}
        headings = headings_in(book, sheet, document, locale)
        return len(texts & {heading.text for heading in headings}), locale == asked

    return max(get_args(Locale), key=known)


def _of_sheet(wanted: str, sheet: str | None, sheets: tuple[str, ...]) -> Difference:
    if sheet is None:
        names = ", ".join(f"“{name}”" for name in sheets[:20])
        detail = f"There is no sheet “{wanted}”; there are: {names}."
        return Difference(place="workbook", code="sheet_missing", detail=detail)
    detail = f"There is no sheet “{wanted}”; “{sheet}” is probably meant, and is compared."
    return Difference(place=sheet, code="sheet_spelling", detail=detail)
