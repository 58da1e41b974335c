"""Excel tables: the header that all tables share, and small tables with all their cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from textwrap import wrap

from stafett.column_mapper.localized import Localized
from stafett.file_generator.xlsx.builder import WorkbookBuilder
from stafett.file_generator.xlsx.cell_text import LINE_HEIGHT
from stafett.file_generator.xlsx.columns import escape_header_attribute, get_date_format, make_unique_headers
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet

_TABLE_STYLE = "TableStyleLight1"
_CELL_PADDING = 4
_MAX_NUMBER, _MIN_DATE = 10**15 - 1, date(1900, 3, 1)

CellValue = str | int | date


@dataclass(frozen=True)
class SmallTable:
    """A table of a few rows with a heading directly above it; no row between two tables is empty."""

    name: Localized
    headers: Sequence[str]
    rows: Sequence[Sequence[CellValue]]
    widths: Sequence[float]
    heading: str | None = None
    left_aligned: bool = False


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


def compute_row_height(texts: Sequence[str], widths: Sequence[float]) -> float:
    """Compute the height for the text with the most lines, because not every program computes it itself."""
    wrap_widths = [max(1, int(width) - _CELL_PADDING) for width in widths]
    lines = [len(wrap(text, wrap_width)) for text, wrap_width in zip(texts, wrap_widths, strict=False)]
    return float(LINE_HEIGHT * max(1, *lines))


def write_table(builder: WorkbookBuilder, sheet: Sheet, row: int, table: SmallTable) -> int:
    """Write a table with its heading at ``row`` (0-based), and return the next free row."""
    if table.heading is not None:
        sheet.write_string(row, 0, table.heading, builder.formats.heading)
        row += 1
    add_table(builder, sheet, (row, 0), table.name, list(make_unique_headers(table.headers)))
    for number, values in enumerate(table.rows, start=row + 1):
        sheet.set_row(number, compute_row_height([str(value) for value in values], table.widths))
        for column, value in enumerate(values):
            _write_cell(builder, sheet, (number, column), value, left_aligned=table.left_aligned)
    sheet.set_row(row, compute_row_height(table.headers, table.widths))
    last = row + max(1, len(table.rows))
    sheet.extend_table(last)
    return last + 1


def _write_cell(
    builder: WorkbookBuilder, sheet: Sheet, cell: tuple[int, int], value: CellValue, *, left_aligned: bool
) -> None:
    formats = builder.formats
    match value:
        case int() if abs(value) <= _MAX_NUMBER:
            sheet.write_number(*cell, value, formats.get_format("#,##0", left_aligned=left_aligned))
        case date() if value >= _MIN_DATE:
            sheet.write_datetime(
                *cell, value, formats.get_format(get_date_format(builder.spec.locale), left_aligned=left_aligned)
            )
        case "":
            pass
        case _:
            sheet.write_string(*cell, str(value), formats.text)
