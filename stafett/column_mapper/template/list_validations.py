"""Resolves the allowed values of list validations: inline lists, ranges of cells and defined names."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from openpyxl.utils.cell import column_index_from_string, range_boundaries

from stafett.column_mapper.template.template_workbook import TemplateWorkbook
from stafett.column_mapper.template.xml_scan import ListValidation

_MAX_CELLS, _MAX_COLUMNS, _MAX_NAME_LOOKUPS, _MAX_LISTS_PER_COLUMN = 10_000, 200, 5, 20
_RANGE_PATTERN = re.compile(
    r"(?:(?:'(?P<quoted>(?:[^']|'')+)'|(?P<sheet>[^'!\s(),]+))!)?"
    r"\$?(?P<column>[A-Z]{1,3})\$?(?P<row>[0-9]{1,7})?"
    r"(?::\$?(?P<last_column>[A-Z]{1,3})\$?(?P<last_row>[0-9]{1,7})?)?",
    re.IGNORECASE,
)


class ListIndex:
    """The lists of a sheet, with their ranges parsed once for all columns."""

    def __init__(self, lists: Sequence[ListValidation]) -> None:
        self._areas = [(validation.formula, area) for validation in lists for area in _parse_ranges(validation.ranges)]

    def find_formulas_below(self, row: int, column: int) -> Sequence[str]:
        """Return the first few distinct formulas of lists that apply to cells of this column below this row."""
        formulas = (
            formula for formula, (left, _, right, bottom) in self._areas if left <= column <= right and bottom > row
        )
        return list(islice(dict.fromkeys(formulas), _MAX_LISTS_PER_COLUMN))


def _parse_ranges(ranges: str) -> Iterator[tuple[int, int, int, int]]:
    for area in ranges.split():
        try:
            left, top, right, bottom = range_boundaries(area)
        except ValueError:
            continue
        yield left or 1, top or 1, right or 16384, bottom or 1_048_576


def resolve_allowed_values(book: TemplateWorkbook, sheet: str, formula: str) -> list[str] | None:
    """Return the allowed values, or ``None`` if Excel would have to compute the formula."""
    for _ in range(_MAX_NAME_LOOKUPS):
        formula = formula.removeprefix("=").strip()
        if formula.startswith('"') and formula.endswith('"') and len(formula) > 1:
            return [value.strip() for value in formula[1:-1].replace('""', '"').split(",")]
        area = _RANGE_PATTERN.fullmatch(formula)
        if area and (area["row"] or area["last_column"]):
            return _read_range(book, sheet, area)
        definition = book.resolve_defined_name(formula, sheet)
        if definition is None:
            return None
        formula = definition
    return None


def _read_range(book: TemplateWorkbook, sheet: str, match: re.Match[str]) -> list[str] | None:
    referenced = match["quoted"].replace("''", "'") if match["quoted"] else match["sheet"] or sheet
    sheet_name = next((name for name in book.sheet_names if name.casefold() == referenced.casefold()), None)
    if sheet_name is None:
        return None
    top, left = int(match["row"] or 1), column_index_from_string(match["column"].upper())
    right = column_index_from_string((match["last_column"] or match["column"]).upper())
    bottom = int(match["last_row"] or (top if match["row"] else top + _MAX_CELLS))
    right = min(right, left + _MAX_COLUMNS)
    last_cell = min(bottom, top + _MAX_CELLS // max(1, right - left + 1)), right
    return [text for row in book.read_texts(sheet_name, (top, left), last_cell) for text in row if text]
