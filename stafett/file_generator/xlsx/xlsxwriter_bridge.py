"""Bridge to XlsxWriter for rows that it never sees. Every private name of XlsxWriter that we use is in this file.

XlsxWriter writes a sheet in one go. Here a sheet with rows is written in two parts, the XML before the rows and the
XML after them; the caller writes the rows in between.
"""

from io import BytesIO, StringIO
from string import digits
from typing import Any

from xlsxwriter import Workbook  # type: ignore[import-untyped]  # XlsxWriter ships no types
from xlsxwriter.format import Format  # type: ignore[import-untyped]  # the same
from xlsxwriter.packager import Packager  # type: ignore[import-untyped]  # the same
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # the same

from stafett.storage.zip_archive import ZipArchive

XLSXWRITER_VERSION = "3.3.1"
__all__ = ["XLSXWRITER_VERSION", "Format", "Sheet", "StreamedWorkbook", "get_style_index", "set_chart_titles"]
_WORKBOOK_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


class Sheet(Worksheet):  # type: ignore[misc]  # the same
    """A worksheet; one with streamed rows is written before the workbook is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._first_row: int | None = None
        self._is_written = False
        self._split_offset = 0

    def split_around_rows(self, first_row: int, last_row: int, last_column: int) -> tuple[str, str]:
        """Return the XML before the rows and the XML after them; all arguments are 0-based and inclusive."""
        xml, self._first_row = StringIO(), first_row
        self._check_dimensions(last_row, last_column)
        self._set_xml_writer(xml)
        self._assemble_xml_file()
        self._is_written = True
        content = xml.getvalue()
        return content[: self._split_offset], content[self._split_offset :]

    def extend_table(self, last_row: int, total_label: str | None = None) -> None:
        """Extend the newest table to this row (0-based); ``add_table`` with all rows would store every cell of it.

        With a label, a total row follows the last row. Its cells are written by the caller.
        """
        table = self.tables[-1]
        first, last = table["range"].split(":")
        last_column = last.rstrip(digits)
        table["range"] = table["a_range"] = table["autofilter"] = f"{first}:{last_column}{last_row + 1}"
        if total_label is not None:
            table["range"] = f"{first}:{last_column}{last_row + 2}"
            table["totals_row_shown"], table["columns"][0]["total_string"] = True, total_label

    def set_table_headers(self, headers: list[str]) -> None:
        """Set the newest table's headers as attributes; XlsxWriter escapes what looks like an escape only in cells."""
        for column, header in zip(self.tables[-1]["columns"], headers, strict=True):
            column["name"] = header

    def _assemble_xml_file(self) -> None:
        if not self._is_written:
            super()._assemble_xml_file()

    def _write_sheet_data(self) -> None:
        if self._first_row is None:
            super()._write_sheet_data()
            return
        self.dim_rowmax: int = self._first_row - 1
        self._xml_start_tag("sheetData")
        self._write_rows()
        self._split_offset = self.fh.tell()
        self._xml_end_tag("sheetData")


class StreamedWorkbook(Workbook):  # type: ignore[misc]  # the same
    """A workbook whose parts are written straight to an archive."""

    worksheet_class = Sheet

    def __init__(self, archive: ZipArchive) -> None:
        super().__init__(BytesIO(), _WORKBOOK_OPTIONS)
        self._archive = archive

    def write_leading_parts(self) -> None:
        """Write first the parts that identify an XLSX file: programs detect its type from the first three members."""
        packager = self._get_packager()
        packager._add_workbook(self)  # noqa: SLF001 - XlsxWriter's own parts, written earlier than it does
        packager._write_root_rels_file()  # noqa: SLF001 - the same
        packager._write_core_file()  # noqa: SLF001 - the same
        packager._write_theme_file()  # noqa: SLF001 - the same

    def _get_packager(self) -> Packager:
        return _StreamedPackager(self._archive)


class _StreamedPackager(Packager):  # type: ignore[misc]  # the same
    """A packager that writes every part to the archive at once."""

    def __init__(self, archive: ZipArchive) -> None:
        super().__init__()
        self._archive = archive

    def _filename(self, xml_filename: str) -> StringIO:
        if xml_filename in self._archive:
            return StringIO()
        self._archive.start_deflated(xml_filename)
        return _MemberStream(self._archive)

    def _create_package(self) -> list[tuple[object, str, bool]]:
        """Write the parts, and return no files for XlsxWriter to zip."""
        super()._create_package()
        return []


class _MemberStream(StringIO):
    """The current member as a ``StringIO``, because XlsxWriter requires one; it only writes to it."""

    def __init__(self, archive: ZipArchive) -> None:
        super().__init__()
        self._archive = archive

    def write(self, text: str) -> int:
        self._archive.write(text.encode())
        return len(text)


def set_chart_titles(chart: Any, title: str, value_axis_title: str) -> None:
    """Set both titles as texts: XlsxWriter takes a text such as ``=Sheet!$A$1`` or ``Sheet!A1`` for a formula."""
    for element, text in ((chart.title, title), (chart.x_axis["title"], value_axis_title)):
        element.name, element.formula, element.data_id = text, None, None


def get_style_index(format_: Format) -> int:
    """Return the index by which cells refer to this format."""
    index: int = format_._get_xf_index()  # noqa: SLF001 - styles are written after the rows that use them
    return index
