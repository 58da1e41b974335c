"""Opens untrusted workbooks and reads only the requested parts of them."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import openpyxl
from openpyxl.workbook.workbook import Workbook
from openpyxl.worksheet._reader import WorkSheetParser

from stafett.column_mapper.template.xml_scan import ListValidation, UnsafeWorkbookError, XmlScanner
from stafett.domain.errors import StafettError

_MEBIBYTE = 1024 * 1024
_MAX_BYTES, _MAX_UNPACKED_BYTES, _MAX_PARTS = 20 * _MEBIBYTE, 64 * _MEBIBYTE, 2000
_OLE_SIGNATURE, _ENCRYPTED_FLAG = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x1


class UnreadableTemplateError(StafettError):
    """A file that cannot be read as a template."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as a template: {reason}.")


class TemplateWorkbook:
    """The sheets, defined names and list validations of a template."""

    def __init__(self, path: Path, workbook: Workbook, lists: dict[str, list[ListValidation]]) -> None:
        self._path = path
        self._workbook = workbook
        self._lists = lists
        self._sheets = {sheet.title: sheet for sheet in workbook.worksheets}
        self._texts_by_sheet: dict[str, dict[tuple[int, int], str]] = {}
        self.sheet_names = tuple(self._sheets)

    @classmethod
    def load(cls, path: Path) -> Self:
        content = _read_file(path)
        with _translate_errors(path):
            lists = _scan_parts(content)
            return cls(path, openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True), lists)

    def read_texts(self, sheet: str, first: tuple[int, int], last: tuple[int, int]) -> list[list[str]]:
        """Read the texts of a range of cells, row by row. The corners are (row, column), counted from 1."""
        texts = self._load_texts(sheet)
        last_row = min(last[0], max((row for row, _ in texts), default=0))
        columns = range(first[1], last[1] + 1)
        return [[texts.get((row, column), "") for column in columns] for row in range(first[0], last_row + 1)]

    def _load_texts(self, sheet: str) -> dict[tuple[int, int], str]:
        """Read a sheet once: openpyxl would parse all of its data validations again for every range."""
        if sheet not in self._texts_by_sheet:
            with _translate_errors(self._path):
                self._texts_by_sheet[sheet] = _read_cells(self._sheets[sheet])
        return self._texts_by_sheet[sheet]

    def list_validations(self, sheet: str) -> list[ListValidation]:
        part = self._sheets[sheet]._worksheet_path  # type: ignore[attr-defined]  # noqa: SLF001 - openpyxl has no public attribute for it
        return self._lists.get(part, [])

    def resolve_defined_name(self, name: str, sheet: str) -> str | None:
        """Return the formula of a defined name. Names of the sheet take precedence over those of the workbook."""
        for names in (self._sheets[sheet].defined_names, self._workbook.defined_names):
            for defined_name, definition in names.items():
                if defined_name.casefold() == name.casefold():
                    return str(definition.attr_text)
        return None


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns about parts that it skips, none of which are read here
            yield
    except UnsafeWorkbookError as error:
        raise UnreadableTemplateError(path, str(error)) from None
    except Exception:  # noqa: BLE001 - openpyxl raises all kinds of errors for malformed files
        raise UnreadableTemplateError(path, "it is not an Excel workbook (.xlsx), or it is damaged") from None


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise StafettError(f"{path} cannot be read: {error.strerror}.") from None
    if not content:
        raise UnreadableTemplateError(path, "it is empty")
    if len(content) > _MAX_BYTES:
        raise UnreadableTemplateError(path, f"it is larger than {_MAX_BYTES // _MEBIBYTE} MiB")
    if content.startswith(_OLE_SIGNATURE):
        raise UnreadableTemplateError(path, "it is encrypted or in the old Excel format (.xls); save it as .xlsx")
    return content


def _scan_parts(content: bytes) -> dict[str, list[ListValidation]]:
    scanner = XmlScanner()
    with zipfile.ZipFile(BytesIO(content)) as archive:
        parts = archive.infolist()
        if len(parts) > _MAX_PARTS:
            raise UnsafeWorkbookError(f"it has more than {_MAX_PARTS} parts")
        if any(part.flag_bits & _ENCRYPTED_FLAG for part in parts):
            raise UnsafeWorkbookError("it is encrypted")
        if sum(part.file_size for part in parts) > _MAX_UNPACKED_BYTES:
            raise UnsafeWorkbookError(f"it is larger than {_MAX_UNPACKED_BYTES // _MEBIBYTE} MiB when unpacked")
        lists_by_part = {}
        for part in parts:
            with archive.open(part) as file:
                lists_by_part[part.filename] = scanner.find_lists(file)
        return lists_by_part


def _read_cells(sheet: Any) -> dict[tuple[int, int], str]:
    """Read the cells that have a value, by row and column, as openpyxl's own read-only sheets do."""
    book = sheet.parent
    with sheet._get_source() as source:  # noqa: SLF001 - openpyxl has no public way to read only existing cells
        parser = WorkSheetParser(
            source,
            sheet._shared_strings,  # noqa: SLF001 - the same
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,  # noqa: SLF001 - the same
            timedelta_formats=book._timedelta_formats,  # noqa: SLF001 - the same
        )
        cells = (cell for _, row in parser.parse() for cell in row)
        return {(cell["row"], cell["column"]): text for cell in cells if (text := _to_text(cell["value"]))}


def _to_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime() | date() | time():
            return value.isoformat()
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)
