"""Excel tables: the head that every one of ours has, and small ones with all that stands in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from textwrap import wrap

from stafett.column_mapper.localized import Localized
from stafett.file_generator.xlsx.builder import Edition
from stafett.file_generator.xlsx.cell_text import LINE_HEIGHT
from stafett.file_generator.xlsx.columns import as_attribute, day_format, table_headers
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet

_STYLE = "TableStyleLight1"
_ROOM_AT_THE_SIDES = 4
_LARGEST_NUMBER, _FIRST_DAY = 10**15 - 1, date(1900, 3, 1)

Entry = str | int | date


@dataclass(frozen=True)
class SmallTable:
    """A table of a few lines, with a heading right above it: no row is left empty between two of them."""

    name: Localized
    headers: Sequence[str]
    lines: Sequence[Sequence[Entry]]
    widths: Sequence[float]
    heading: str | None = None
    is_left: bool = False


def head_table(edition: Edition, sheet: Sheet, place: tuple[int, int], name: Localized, headers: Sequence[str]) -> None:
    """The header of a table, with one row below it; ``stretch_table`` gives it all its rows."""
    row, column = place
    options = {
        "name": edition.table_name(name),
        "title": sheet.get_name(),
        "style": _STYLE,
        "columns": [{"header": header, "header_format": edition.formats.header} for header in headers],
    }
    if sheet.add_table(row, column, row + 1, column + len(headers) - 1, options) != 0:
        raise RuntimeError("XlsxWriter refused a table")
    sheet.spell_table_headers([as_attribute(header) for header in headers])


def row_height(texts: Sequence[str], widths: Sequence[float]) -> float:
    """For so many lines as the text that needs most of them; not every program looks for itself."""
    rooms = [max(1, int(width) - _ROOM_AT_THE_SIDES) for width in widths]
    lines = [len(wrap(text, room)) for text, room in zip(texts, rooms, strict=False)]
    return float(LINE_HEIGHT * max(1, *lines))


def put_table(edition: Edition, sheet: Sheet, row: int, table: SmallTable) -> int:
    """Below whatever stands above ``row``; returns the next free row."""
    if table.heading is not None:
        sheet.write_string(row, 0, table.heading, edition.formats.heading)
        row += 1
    head_table(edition, sheet, (row, 0), table.name, list(table_headers(table.headers)))
    for number, line in enumerate(table.lines, start=row + 1):
        sheet.set_row(number, row_height([str(entry) for entry in line], table.widths))
        for column, entry in enumerate(line):
            _put(edition, sheet, (number, column), entry, is_left=table.is_left)
    sheet.set_row(row, row_height(table.headers, table.widths))
    last = row + max(1, len(table.lines))
    sheet.stretch_table(last)
    return last + 1


def _put(edition: Edition, sheet: Sheet, cell: tuple[int, int], entry: Entry, *, is_left: bool) -> None:
    formats = edition.formats
    match entry:
        case int() if abs(entry) <= _LARGEST_NUMBER:
            sheet.write_number(*cell, entry, formats.of("#,##0", is_left=is_left))
        case date() if entry >= _FIRST_DAY:
            sheet.write_datetime(*cell, entry, formats.of(day_format(edition.workbook.locale), is_left=is_left))
        case "":
            pass
        case _:
            sheet.write_string(*cell, str(entry), formats.text)
