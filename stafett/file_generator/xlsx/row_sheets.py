"""Sheets with the rows of a table, each with a header, continued on a further sheet when one is full."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
from xlsxwriter.utility import xl_cell_to_rowcol, xl_col_to_name  # type: ignore[import-untyped]  # XlsxWriter ships no types

from stafett.column_mapper.localized import Localized
from stafett.file_generator.xlsx.builder import TEXT_FORMAT, WorkbookBuilder
from stafett.file_generator.xlsx.cells import CellStyle, render_rows
from stafett.file_generator.xlsx.columns import SheetColumn
from stafett.file_generator.xlsx.dropdowns import DropdownLists
from stafett.file_generator.xlsx.page_setup import ColumnSetup, set_up_columns
from stafett.file_generator.xlsx.rechunk import rechunk
from stafett.file_generator.xlsx.tables import add_table, compute_row_height
from stafett.file_generator.xlsx.truncation import truncate_rows
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet, get_style_index

_INDENT = 1


@dataclass(frozen=True)
class RowTable:
    """A table of rows: its names, columns and number of rows, its position and the titles above it."""

    sheet_name: str
    name: Localized
    columns: tuple[SheetColumn, ...]
    row_count: int
    start_cell: str = "A1"
    title_rows: tuple[str, ...] = ()
    has_frozen_header: bool = True


@dataclass
class _OpenSheet:
    """The sheet that rows are being written to; row numbers of a sheet are 0-based."""

    sheet: Sheet
    first_row: int
    max_rows: int
    rows_before: int
    trailing_xml: str
    xml_size: int
    row_count: int = 0

    @property
    def next_row(self) -> int:
        return self.first_row + self.row_count

    @property
    def remaining_rows(self) -> int:
        return self.max_rows - self.row_count


@dataclass
class RowSheets:
    """Writer of one table to as many sheets as its rows need."""

    builder: WorkbookBuilder
    dropdowns: DropdownLists
    table: RowTable
    _sheets: list[_OpenSheet] = field(default_factory=list)
    _truncated_positions: list[tuple[int, int]] = field(default_factory=list)
    _rows_received: int = 0

    def render_chunks(self, frames: Iterable[pl.DataFrame]) -> Iterator[bytes]:
        """Write all rows in order and yield finished blocks; raise if there are not ``table.row_count`` rows."""
        self._header_row, self._first_column = xl_cell_to_rowcol(self.table.start_cell)
        self._styles = [
            self._build_cell_style(number, column)
            for number, column in enumerate(self.table.columns, self._first_column)
        ]
        self._column_setups = [self._build_column_setup(column) for column in self.table.columns]
        current = self._start_sheet()
        for chunk in rechunk(frames):
            remaining, truncated = truncate_rows(chunk, self.builder.spec.locale)
            self._truncated_positions += [(column, self._rows_received + row) for column, row in truncated]
            self._rows_received += chunk.height
            while not remaining.is_empty():
                written = self._write_rows(remaining, current)
                current = current if written else self._start_next_sheet(current)
                remaining = remaining[written:]
                yield from self.builder.archive.take_ready()
        self._finish_sheet(current)
        self._record_truncated_cells()

    def _write_rows(self, rows: pl.DataFrame, current: _OpenSheet) -> int:
        """Write the rows that fit on the sheet, and return how many."""
        fitting = rows[: current.remaining_rows]
        if fitting.is_empty():
            return 0
        xml, has_numbers_as_text = render_rows(fitting, self._styles, current.next_row + 1, self.builder.spec.locale)
        if current.row_count and current.xml_size + len(xml) > self.builder.limits.max_bytes:
            return 0
        self.builder.has_numbers_as_text |= has_numbers_as_text
        self.builder.archive.write(xml)
        current.xml_size += len(xml)
        current.row_count += fitting.height
        return fitting.height

    def _build_cell_style(self, column_number: int, column: SheetColumn) -> CellStyle:
        formats = self.builder.formats
        plain = formats.get_format(column.number_format, wraps=column.wraps)
        as_text = formats.get_format(TEXT_FORMAT, wraps=column.wraps)
        wrap_width = max(1, int(column.width) - _INDENT) if column.wraps else None
        return CellStyle(xl_col_to_name(column_number), get_style_index(plain), get_style_index(as_text), wrap_width)

    def _build_column_setup(self, column: SheetColumn) -> ColumnSetup:
        cell_format = self.builder.formats.get_format(column.number_format, wraps=column.wraps)
        return ColumnSetup(column.width, cell_format, column.is_hidden)

    def _start_next_sheet(self, current: _OpenSheet) -> _OpenSheet:
        self._finish_sheet(current)
        return self._start_sheet()

    def _start_sheet(self) -> _OpenSheet:
        sheet = self.builder.add_sheet(self.table.sheet_name, len(self._sheets) + 1)
        first_row, rows_before = self._header_row + 1, sum(previous.row_count for previous in self._sheets)
        capacity = self.builder.limits.max_rows - first_row
        expected = max(0, min(capacity, self.table.row_count - rows_before))
        self._write_header(sheet)
        self._format_columns(sheet, first_row + max(1, expected) - 1)
        leading_xml, trailing_xml = sheet.split_around_rows(
            first_row, self._header_row + expected, self._first_column + len(self.table.columns) - 1
        )
        self.builder.archive.start_deflated(f"xl/worksheets/sheet{len(self.builder.book.worksheets())}.xml")
        self.builder.archive.write(leading_xml.encode())
        self._sheets.append(_OpenSheet(sheet, first_row, capacity, rows_before, trailing_xml, len(leading_xml)))
        return self._sheets[-1]

    def _finish_sheet(self, current: _OpenSheet) -> None:
        self.builder.archive.write(current.trailing_xml.encode())
        current.sheet.extend_table(current.first_row + max(1, current.row_count) - 1)

    def _write_header(self, sheet: Sheet) -> None:
        """Write the titles and the table's header, which is repeated on every page and frozen if so configured."""
        columns = self.table.columns
        for row, title in enumerate(self.table.title_rows):
            cell_format = None if row else self.builder.formats.title
            sheet.write_string(row, 0, title, cell_format)
        add_table(self.builder, sheet, (self._header_row, self._first_column), self.table.name, _get_headers(columns))
        sheet.set_row(self._header_row, compute_row_height(_get_headers(columns), self._column_setups))
        if self.table.has_frozen_header:
            sheet.freeze_panes(self._header_row + 1, 0)
        sheet.repeat_rows(self._header_row)

    def _format_columns(self, sheet: Sheet, last_row: int) -> None:
        """Set formats and dropdown lists, also for cells that a user fills in later."""
        columns = self.table.columns
        first, last = xl_col_to_name(self._first_column), xl_col_to_name(self._first_column + len(columns) - 1)
        sheet.ignore_errors({"number_stored_as_text": f"{first}{self._header_row + 2}:{last}{last_row + 1}"})
        set_up_columns(sheet, self._column_setups, self._first_column, self.table.title_rows)
        for number, column in enumerate(columns, start=self._first_column):
            if column.allowed_values:
                self.dropdowns.add_validation(sheet, number, (self._header_row + 1, last_row), column.allowed_values)

    def _record_truncated_cells(self) -> None:
        """Check that no row is missing, and record the location of each truncated cell."""
        if self._rows_received != self.table.row_count:
            raise RuntimeError(f"{self.table.row_count} rows were expected, but {self._rows_received} were received")
        for number, column in enumerate(self.table.columns):
            rows = [row for position, row in self._truncated_positions if position == number]
            if rows:
                self.builder.truncated.add(column.id, [self._locate_cell(row, number) for row in rows])

    def _locate_cell(self, row: int, column: int) -> str:
        written = next(sheet for sheet in reversed(self._sheets) if sheet.rows_before <= row)
        row_number = written.first_row + row - written.rows_before + 1
        return f"{written.sheet.get_name()}!{self._styles[column].column_letters}{row_number}"


def _get_headers(columns: Sequence[SheetColumn]) -> list[str]:
    return [column.header for column in columns]
