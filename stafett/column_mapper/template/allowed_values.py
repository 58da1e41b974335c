"""Compares the values that a template allows in a column with those that the document writes."""

from collections.abc import Iterator

from stafett.column_mapper.cells import list_possible_values
from stafett.column_mapper.document import Column, MappingDocument
from stafett.column_mapper.template.difference import TemplateDifference
from stafett.column_mapper.template.headers import HeaderCell
from stafett.column_mapper.template.list_validations import ListIndex, resolve_allowed_values
from stafett.column_mapper.template.template_workbook import TemplateWorkbook
from stafett.column_mapper.template.text_matching import match_texts
from stafett.domain.export import Locale

_MAX_FORMULA_LENGTH = 80


def compare_values(  # noqa: PLR0913, PLR0917 - the two sides, and the position in each
    document: MappingDocument,
    column: Column,
    book: TemplateWorkbook,
    header_cell: HeaderCell,
    lists: ListIndex,
    locale: Locale,
) -> Iterator[TemplateDifference]:
    expected = list_possible_values(document, column, locale)
    for formula in lists.find_formulas_below(header_cell.row, header_cell.column):
        allowed = resolve_allowed_values(book, header_cell.sheet, formula)
        if expected is None:
            detail = (
                f"The template has a list for “{header_cell.text}”; the document's column is of type {column.type}."
            )
            yield TemplateDifference(location=header_cell.location, code="list_unexpected", detail=detail)
        elif allowed is None:
            shown = formula[:_MAX_FORMULA_LENGTH]
            detail = f"The list for “{header_cell.text}” is computed ({shown}) and must be compared manually."
            yield TemplateDifference(location=header_cell.location, code="list_computed", detail=detail)
        else:
            yield from _compare_list(header_cell, expected, allowed)


def _compare_list(header_cell: HeaderCell, expected: list[str], actual: list[str]) -> Iterator[TemplateDifference]:
    pairs, expected_values = match_texts(expected, actual), set(expected)
    matched = set(pairs.values())
    for index, value in enumerate(actual):
        if index not in pairs and value not in expected_values:
            detail = f"The template's list for “{header_cell.text}” has “{value}”, which the document never writes."
            yield TemplateDifference(location=header_cell.location, code="value_extra", detail=detail)
        elif index in pairs and expected[pairs[index]] != value:
            label = expected[pairs[index]]
            detail = f"The template's list for “{header_cell.text}” has “{value}”; the document writes “{label}”."
            yield TemplateDifference(location=header_cell.location, code="value_spelling", detail=detail)
    for index, label in enumerate(expected):
        if index not in matched:
            detail = f"The template's list for “{header_cell.text}” lacks “{label}”, which the document writes."
            yield TemplateDifference(location=header_cell.location, code="value_missing", detail=detail)
