"""What a template allows in a column, beside what the document writes there."""

from collections.abc import Iterator

from stafett.column_mapper.cells import written_in
from stafett.column_mapper.document import Column, MappingDocument
from stafett.column_mapper.template.difference import Difference
from stafett.column_mapper.template.headers import Heading
from stafett.column_mapper.template.list_validations import allowed, holding_below
from stafett.column_mapper.template.template_workbook import TemplateBook
from stafett.column_mapper.template.text_matching import paired
from stafett.column_mapper.template.xml_scan import AllowedList
from stafett.domain.export import Locale

_LONGEST_SHOWN = 80


def differences_of_values(  # noqa: PLR0913, PLR0917 - both sides, and what to look at in each
    document: MappingDocument,
    column: Column,
    book: TemplateBook,
    heading: Heading,
    lists: list[AllowedList],
    locale: Locale,
) -> Iterator[Difference]:
    written = written_in(document, column, locale)
    for one in holding_below(lists, heading.row, heading.column):
        values = allowed(book, heading.sheet, one.formula)
        if written is None:
            detail = f"The template has a list for “{heading.text}”; the document's column is of type {column.type}."
            yield Difference(place=heading.place, code="list_unexpected", detail=detail)
        elif values is None:
            shown = one.formula[:_LONGEST_SHOWN]
            detail = f"The list for “{heading.text}” is computed ({shown}); please compare it by hand."
            yield Difference(place=heading.place, code="list_computed", detail=detail)
        else:
            yield from _of_values(heading, written, values)


def _of_values(heading: Heading, written: list[str], values: list[str]) -> Iterator[Difference]:
    pairs = paired(written, values)
    for number, value in enumerate(values):
        if number not in pairs and value not in written:
            detail = f"The template's list for “{heading.text}” has “{value}”, which the document never writes."
            yield Difference(place=heading.place, code="value_extra", detail=detail)
        elif number in pairs and written[pairs[number]] != value:
            meant = written[pairs[number]]
            detail = f"The template's list for “{heading.text}” says “{value}”, the document “{meant}”."
            yield Difference(place=heading.place, code="value_spelling", detail=detail)
    for number, label in enumerate(written):
        if number not in pairs.values():
            detail = f"The template's list for “{heading.text}” lacks “{label}”, which the document writes."
            yield Difference(place=heading.place, code="value_missing", detail=detail)
