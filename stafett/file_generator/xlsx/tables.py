"""Excel tables: the header that all tables share, and small tables with all their cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from textwrap import wrap

from stafett.column_mapper.localized import Localized
from stafett.file_generator.xlsx.builder import TEXT_FORMAT, WorkbookBuilder
from stafett.file_generator.xlsx.cell_text import LINE_HEIGHT
from stafett.file_generator.xlsx.columns import escape_header_attribute, get_date_format, make_unique_headers
from stafett.file_generator.xlsx.page_setup import ColumnSetup
from stafett.file_generator.xlsx.xlsxwriter_bridge import Format, Sheet

_TABLE_STYLE = "TableStyleLight1"
_CELL_PADDING = 4
_HEADING_HEIGHT = 2.4 * LINE_HEIGHT
"""The height of a heading's row, which separates the table from what is above it."""

_MAX_NUMBER, _MIN_DATE = 10**15 - 1, date(1900, 3, 1)

CellValue = str | int | date


@dataclass(frozen=True)
class SmallTable:
    """A table of a few rows with a heading directly above it, and a line with the totals.

    No row between two tables is empty, because screen readers take an empty row for the end: the heading's row is high.
    """

    name: Localized
    headers: Sequence[str]
    rows: Sequence[Sequence[CellValue]]
    columns: Sequence[ColumnSetup]
    heading: str | None = None
    left_aligned: bool = False
    totals: Sequence[CellValue] | None = None


def add_table(
    builder: WorkbookBuilder, sheet: Sheet, position: tuple[int, int], name: Localized, headers: Sequence[str]
) -> None:
    """Add a table's header with one row below it; ``Sheet.extend_table`` extends it to all rows."""
    row, column = position
    options = {
        "name": builder.allocate_table_name(name),
        "title": sheet.get_name(),
        "style": _TABLE_STYLE,
        "columns": [{"header": header, "header_format": builder.formats.header} for header in headers],
    }
    if sheet.add_table(row, column, row + 1, column + len(headers) - 1, options) != 0:
        raise RuntimeError("XlsxWriter rejected a table")
    sheet.set_table_headers([escape_header_attribute(header) for header in headers])


def compute_row_height(texts: Sequence[str], columns: Sequence[ColumnSetup]) -> float:
    """Compute the height for the text with the most lines, because not every program computes it itself."""
    visible = [(text, column.width) for text, column in zip(texts, columns, strict=False) if not column.is_hidden]
    lines = (len(wrap(text, max(1, int(width) - _CELL_PADDING))) for text, width in visible)
    return float(LINE_HEIGHT * max((1, *lines)))


def write_table(builder: WorkbookBuilder, sheet: Sheet, row: int, table: SmallTable) -> int:
    """Write a table with its heading at ``row`` (0-based), and return the next free row."""
    if table.heading is not None:
        sheet.write_string(row, 0, table.heading, builder.formats.heading)
        sheet.set_row(row, _HEADING_HEIGHT)
        row += 1
    add_table(builder, sheet, (row, 0), table.name, list(make_unique_headers(table.headers)))
    last = row + max(1, len(table.rows))
    lines = [*enumerate(table.rows, start=row + 1), *([(last + 1, table.totals)] if table.totals else [])]
    for number, values in lines:
        get_format = partial(builder.formats.get_format, left_aligned=table.left_aligned, is_total=number > last)
        sheet.set_row(number, compute_row_height([str(value) for value in values], table.columns))
        for column, value in enumerate(values):
            _write_cell(builder, sheet, (number, column), value, get_format)
    sheet.set_row(row, compute_row_height(table.headers, table.columns))
    sheet.extend_table(last, total_label=str(table.totals[0]) if table.totals else None)
    return last + (2 if table.totals else 1)


def _write_cell(
    builder: WorkbookBuilder, sheet: Sheet, cell: tuple[int, int], value: CellValue, get_format: Callable[..., Format]
) -> None:
    match value:
        case int() if abs(value) <= _MAX_NUMBER:
            sheet.write_number(*cell, value, get_format("#,##0"))
        case date() if value >= _MIN_DATE:
            sheet.write_datetime(*cell, value, get_format(get_date_format(builder.spec.locale)))
        case "":
            pass
        case _:
            builder.has_numbers_as_text |= not isinstance(value, str)
            sheet.write_string(*cell, str(value), get_format(TEXT_FORMAT, wraps=True))
