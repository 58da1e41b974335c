"""What a template allows in a column, beside what the document writes there."""

from collections.abc import Iterator

from stafett.column_mapper.cells import list_possible_values
from stafett.column_mapper.document import Column, MappingDocument
from stafett.column_mapper.template.difference import TemplateDifference
from stafett.column_mapper.template.headers import HeaderCell
from stafett.column_mapper.template.list_validations import find_lists_below, resolve_allowed_values
from stafett.column_mapper.template.template_workbook import TemplateWorkbook
from stafett.column_mapper.template.text_matching import match_texts
from stafett.column_mapper.template.xml_scan import ListValidation
from stafett.domain.export import Locale

_MAX_FORMULA_SHOWN = 80


def compare_values(  # noqa: PLR0913, PLR0917 - both sides, and what to look at in each
    document: MappingDocument,
    column: Column,
    book: TemplateWorkbook,
    header_cell: HeaderCell,
    lists: list[ListValidation],
    locale: Locale,
) -> Iterator[TemplateDifference]:
    written = list_possible_values(document, column, locale)
    for one in find_lists_below(lists, header_cell.row, header_cell.column):
        values = resolve_allowed_values(book, header_cell.sheet, one.formula)
        if written is None:
            detail = (
                f"The template has a list for “{header_cell.text}”; the document's column is of type {column.type}."
            )
            yield TemplateDifference(location=header_cell.location, code="list_unexpected", detail=detail)
        elif values is None:
            shown = one.formula[:_MAX_FORMULA_SHOWN]
            detail = f"The list for “{header_cell.text}” is computed ({shown}); please compare it by hand."
            yield TemplateDifference(location=header_cell.location, code="list_computed", detail=detail)
        else:
            yield from _compare_list(header_cell, written, values)


def _compare_list(header_cell: HeaderCell, expected: list[str], actual: list[str]) -> Iterator[TemplateDifference]:
    pairs = match_texts(expected, actual)
    for number, value in enumerate(actual):
        if number not in pairs and value not in expected:
            detail = f"The template's list for “{header_cell.text}” has “{value}”, which the document never writes."
            yield TemplateDifference(location=header_cell.location, code="value_extra", detail=detail)
        elif number in pairs and expected[pairs[number]] != value:
            meant = expected[pairs[number]]
            detail = f"The template's list for “{header_cell.text}” says “{value}”, the document “{meant}”."
            yield TemplateDifference(location=header_cell.location, code="value_spelling", detail=detail)
    for number, label in enumerate(expected):
        if number not in pairs.values():
            detail = f"The template's list for “{header_cell.text}” lacks “{label}”, which the document writes."
            yield TemplateDifference(location=header_cell.location, code="value_missing", detail=detail)
