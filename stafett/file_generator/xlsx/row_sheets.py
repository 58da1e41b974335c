"""Sheets of rows: one table after the other, each on a sheet with its header, as many as the rows need."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
from xlsxwriter.utility import xl_cell_to_rowcol, xl_col_to_name  # type: ignore[import-untyped]  # XlsxWriter says nothing of its types

from stafett.column_mapper.localized import Localized
from stafett.file_generator.xlsx.builder import TEXT_FORMAT, Edition
from stafett.file_generator.xlsx.cells import CellStyle, rows_as_xml
from stafett.file_generator.xlsx.columns import SheetColumn
from stafett.file_generator.xlsx.dropdowns import Choices
from stafett.file_generator.xlsx.rechunk import pieces
from stafett.file_generator.xlsx.tables import head_table, row_height
from stafett.file_generator.xlsx.truncation import CutText, shortened
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet, style_of

_INDENT = 1


@dataclass(frozen=True)
class Listing:
    """What is listed, and under which name."""

    sheet: str
    table: Localized
    columns: tuple[SheetColumn, ...]
    rows: int


@dataclass
class _OpenSheet:
    """The sheet that rows are going to; rows of a sheet are counted from 0 here."""

    sheet: Sheet
    first_row: int
    most_rows: int
    before: int
    tail: str
    size: int
    rows: int = 0

    @property
    def next_row(self) -> int:
        return self.first_row + self.rows

    @property
    def room(self) -> int:
        return self.most_rows - self.rows


@dataclass
class ListingSheets:
    """Give it the rows, and it gives the file's blocks."""

    edition: Edition
    choices: Choices
    listing: Listing
    _sheets: list[_OpenSheet] = field(default_factory=list)
    _cut: list[tuple[int, int]] = field(default_factory=list)
    _seen: int = 0

    def chunks(self, frames: Iterable[pl.DataFrame]) -> Iterator[bytes]:
        """All rows, in order; fewer or more than were announced is an error."""
        self._header_row, self._left = xl_cell_to_rowcol(self.edition.workbook.document.layout.start_cell)
        self._styles = [self._style(number, column) for number, column in enumerate(self.listing.columns, self._left)]
        current = self._begin()
        for piece in pieces(frames):
            short = shortened(piece, self.edition.workbook.locale)
            self._cut += [(column, self._seen + row) for column, row in short.cut]
            self._seen += piece.height
            rest = short.rows
            while not rest.is_empty():
                done = self._put(rest, current)
                current = current if done else self._next(current)
                rest = rest[done:]
                yield from self.edition.archive.ready()
        self._end(current)
        self._settle()

    def _put(self, rows: pl.DataFrame, current: _OpenSheet) -> int:
        """How many of the rows found room."""
        fitting = rows[: current.room]
        if fitting.is_empty():
            return 0
        xml = rows_as_xml(fitting, self._styles, current.next_row + 1, self.edition.workbook.locale)
        if current.rows and current.size + len(xml) > self.edition.limits.bytes:
            return 0
        self.edition.archive.write(xml)
        current.size += len(xml)
        current.rows += fitting.height
        return fitting.height

    def _style(self, number: int, column: SheetColumn) -> CellStyle:
        formats = self.edition.formats
        plain = formats.of(column.number_format, wraps=column.wraps)
        as_text = formats.of(TEXT_FORMAT, wraps=column.wraps)
        wraps_at = max(1, int(column.width) - _INDENT) if column.wraps else None
        return CellStyle(xl_col_to_name(number), style_of(plain), style_of(as_text), wraps_at)

    def _next(self, current: _OpenSheet) -> _OpenSheet:
        self._end(current)
        return self._begin()

    def _begin(self) -> _OpenSheet:
        sheet = self.edition.add_sheet(self.listing.sheet, len(self._sheets) + 1)
        first, written = self._header_row + 1, sum(one.rows for one in self._sheets)
        capacity = self.edition.limits.rows - first
        expected = max(0, min(capacity, self.listing.rows - written))
        self._put_header(sheet)
        self._lay_out_columns(sheet, first + max(1, expected) - 1)
        head, tail = sheet.halves(first, self._header_row + expected, self._left + len(self.listing.columns) - 1)
        self.edition.archive.begin(f"xl/worksheets/sheet{len(self.edition.book.worksheets())}.xml")
        self.edition.archive.write(head.encode())
        self._sheets.append(_OpenSheet(sheet, first, capacity, written, tail, len(head)))
        return self._sheets[-1]

    def _end(self, current: _OpenSheet) -> None:
        self.edition.archive.write(current.tail.encode())
        current.sheet.stretch_table(current.first_row + max(1, current.rows) - 1)

    def _put_header(self, sheet: Sheet) -> None:
        """The titles and the table's header, which stays in sight and stands on every page."""
        workbook, columns = self.edition.workbook, self.listing.columns
        for row, title in enumerate(workbook.document.layout.title_rows):
            look = self.edition.formats.heading if row else self.edition.formats.title
            sheet.write_string(row, 0, workbook.say(title), look)
        head_table(self.edition, sheet, (self._header_row, self._left), self.listing.table, _headers(columns))
        sheet.set_row(self._header_row, row_height(_headers(columns), [column.width for column in columns]))
        if workbook.document.layout.frozen_header:
            sheet.freeze_panes(self._header_row + 1, 0)
        sheet.repeat_rows(self._header_row)

    def _lay_out_columns(self, sheet: Sheet, last_row: int) -> None:
        """How they look and what may stand in them, also where somebody writes later."""
        columns = self.listing.columns
        first, last = xl_col_to_name(self._left), xl_col_to_name(self._left + len(columns) - 1)
        sheet.ignore_errors({"number_stored_as_text": f"{first}{self._header_row + 2}:{last}{last_row + 1}"})
        for number, column in enumerate(columns, start=self._left):
            look = self.edition.formats.of(column.number_format, wraps=column.wraps)
            sheet.set_column(number, number, column.width, look)
            if column.allowed:
                self.choices.allow(sheet, number, (self._header_row + 1, last_row), column.allowed)

    def _settle(self) -> None:
        """No row is missing, and what was cut is known by its place."""
        if self._seen != self.listing.rows:
            raise RuntimeError(f"{self.listing.rows} rows were announced, and {self._seen} came")
        for number, column in enumerate(self.listing.columns):
            places = [self._place(row, number) for cut, row in self._cut if cut == number]
            if places:
                self.edition.cut.add(column.id, places)

    def _place(self, row: int, column: int) -> CutText:
        found = next(one for one in reversed(self._sheets) if one.before <= row)
        cell = f"{self._styles[column].letters}{found.first_row + row - found.before + 1}"
        return CutText(found.sheet.get_name(), cell)


def _headers(columns: Sequence[SheetColumn]) -> list[str]:
    return [column.header for column in columns]
