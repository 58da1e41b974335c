"""What a template's lists allow: written in place, in cells, or under a name."""

import re
from collections.abc import Iterator

from openpyxl.utils.cell import column_index_from_string, range_boundaries

from stafett.column_mapper.template.template_workbook import TemplateBook
from stafett.column_mapper.template.xml_scan import AllowedList

_MOST_ROWS, _MOST_COLUMNS, _MOST_NAMES = 10_000, 200, 5
_AREA = re.compile(
    r"(?:(?:'(?P<quoted>(?:[^']|'')+)'|(?P<sheet>[^'!\s(),]+))!)?"
    r"\$?(?P<column>[A-Z]{1,3})\$?(?P<row>[0-9]{1,7})?"
    r"(?::\$?(?P<last_column>[A-Z]{1,3})\$?(?P<last_row>[0-9]{1,7})?)?",
    re.IGNORECASE,
)


def holding_below(lists: list[AllowedList], row: int, column: int) -> Iterator[AllowedList]:
    """The lists that hold in cells of this column below this row."""
    for one in lists:
        if any(left <= column <= right and bottom > row for left, _, right, bottom in _areas(one.cells)):
            yield one


def _areas(cells: str) -> Iterator[tuple[int, int, int, int]]:
    for area in cells.split():
        try:
            left, top, right, bottom = range_boundaries(area)
        except ValueError:
            continue
        yield left or 1, top or 1, right or 16384, bottom or 1_048_576


def allowed(book: TemplateBook, sheet: str, formula: str) -> list[str] | None:
    """The values, or nothing if the formula would have to be computed."""
    for _ in range(_MOST_NAMES):
        formula = formula.removeprefix("=").strip()
        if formula.startswith('"') and formula.endswith('"') and len(formula) > 1:
            return [value.strip() for value in formula[1:-1].replace('""', '"').split(",")]
        area = _AREA.fullmatch(formula)
        if area and (area["row"] or area["last_column"]):
            return _in_cells(book, sheet, area)
        meant = book.meaning(formula, sheet)
        if meant is None:
            return None
        formula = meant
    return None


def _in_cells(book: TemplateBook, sheet: str, area: re.Match[str]) -> list[str] | None:
    named = area["quoted"].replace("''", "'") if area["quoted"] else area["sheet"] or sheet
    known = next((one for one in book.sheets if one.casefold() == named.casefold()), None)
    if known is None:
        return None
    top, left = int(area["row"] or 1), column_index_from_string(area["column"].upper())
    right = column_index_from_string((area["last_column"] or area["column"]).upper())
    bottom = int(area["last_row"] or (top if area["row"] else top + _MOST_ROWS))
    last = min(bottom, top + _MOST_ROWS), min(right, left + _MOST_COLUMNS)
    return [text for row in book.texts(known, (top, left), last) for text in row if text]
