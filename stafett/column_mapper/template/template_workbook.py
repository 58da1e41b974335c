"""Reads the requested parts of an organisation's Excel template."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple, Self
from xml.etree.ElementTree import iterparse

import openpyxl
from openpyxl.utils.cell import range_boundaries
from openpyxl.workbook.workbook import Workbook

from stafett.domain.errors import StafettError

_MEBIBYTE = 1024 * 1024
_MAX_BYTES, _MAX_UNPACKED_BYTES = 20 * _MEBIBYTE, 64 * _MEBIBYTE
_MAX_ROW, _MAX_COLUMN = 1_048_576, 16_384


class UnreadableTemplateError(StafettError):
    """A file that cannot be read as a template."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as a template: {reason}.")


class CellRange(NamedTuple):
    """A range of cells, both corners included, counted from 1."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a range such as A1:B2, B:B or $A$1. Raises ``ValueError`` if it is none."""
        left, top, right, bottom = range_boundaries(text)
        return cls(left or 1, top or 1, right or _MAX_COLUMN, bottom or _MAX_ROW)


class ListValidation(NamedTuple):
    """A data validation with a list: the cells that it applies to, and the formula of the allowed values."""

    ranges: tuple[CellRange, ...]
    formula: str

    def applies_below(self, row: int, column: int) -> bool:
        return any(area.left <= column <= area.right and area.bottom > row for area in self.ranges)


class TemplateWorkbook:
    """The sheets, defined names and list validations of a template."""

    def __init__(self, path: Path, content: bytes, workbook: Workbook) -> None:
        self._path = path
        self._content = content
        self._workbook = workbook
        self._sheets = {sheet.title: sheet for sheet in workbook.worksheets}
        self.sheet_names = tuple(self._sheets)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open a template. Raises ``UnreadableTemplateError`` if it is not a workbook, or too large."""
        content = _read_file(path)
        with _translate_errors(path):
            with zipfile.ZipFile(BytesIO(content)) as archive:
                unpacked_bytes = sum(part.file_size for part in archive.infolist())
            if unpacked_bytes > _MAX_UNPACKED_BYTES:
                raise UnreadableTemplateError(
                    path, f"it is larger than {_MAX_UNPACKED_BYTES // _MEBIBYTE} MiB unpacked"
                )
            return cls(path, content, openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True))

    def read_texts(self, sheet: str, cells: CellRange) -> list[list[str]]:
        """Read the texts of the cells, row by row, up to the last row with a cell."""
        with _translate_errors(self._path):
            self._sheets[sheet].reset_dimensions()  # they are only as right as the program that wrote them
            rows = self._sheets[sheet].iter_rows(cells.top, cells.bottom, cells.left, cells.right, values_only=True)
            return [["" if value is None else str(value) for value in row] for row in rows]

    def read_list_validations(self, sheet: str) -> list[ListValidation]:
        """Read the lists from the sheet's XML: openpyxl skips the extension for lists on another sheet."""
        part = self._sheets[sheet]._worksheet_path  # type: ignore[attr-defined]  # noqa: SLF001 - openpyxl has no public attribute for it
        with (
            _translate_errors(self._path),
            zipfile.ZipFile(BytesIO(self._content)) as archive,
            archive.open(part) as xml,
        ):
            return [
                ListValidation(tuple(map(CellRange.parse, ranges.split())), formula)
                for ranges, formula in _find_lists(xml)
            ]

    def resolve_list(self, sheet: str, formula: str) -> list[str] | None:
        """Return the allowed values of a list, or ``None`` if Excel would have to compute the formula."""
        formula = formula.removeprefix("=").strip()
        formula = self._find_defined_name(sheet, formula) or formula
        if formula.startswith('"') and formula.endswith('"'):
            return [value.strip() for value in formula[1:-1].replace('""', '"').split(",")]
        quoted, _, cells = formula.rpartition("!")
        name = quoted.removeprefix("'").removesuffix("'").replace("''", "'") or sheet
        try:
            area = CellRange.parse(cells)
            (referenced,) = (other for other in self.sheet_names if other.casefold() == name.casefold())
        except ValueError:
            return None
        return [text for row in self.read_texts(referenced, area) for text in row if text]

    def _find_defined_name(self, sheet: str, name: str) -> str | None:
        """Find the formula of a defined name. Names of the sheet take precedence over those of the workbook."""
        for names in (self._sheets[sheet].defined_names, self._workbook.defined_names):
            for defined_name, definition in names.items():
                if defined_name.casefold() == name.casefold():
                    return str(definition.attr_text)
        return None


def _find_lists(xml: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the ranges and the formula of each list, also of those in Excel's extension, which has other namespaces."""
    for _, element in iterparse(xml):  # noqa: S314 - expat bounds the expansion of entities
        if element.tag.endswith("}row"):
            element.clear()
        elif element.tag.endswith("}dataValidation") and element.get("type") == "list":
            texts = {child.tag.rpartition("}")[2]: "".join(child.itertext()).strip() for child in element}
            yield element.get("sqref") or texts["sqref"], texts["formula1"]


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns about parts that it skips, none of which are read here
            yield
    except UnreadableTemplateError:
        raise
    except Exception:  # noqa: BLE001 - openpyxl raises all kinds of errors for malformed files
        raise UnreadableTemplateError(
            path, "it is not an Excel workbook (.xlsx), or it is encrypted or damaged"
        ) from None


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise StafettError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_BYTES:
        raise UnreadableTemplateError(path, f"it is larger than {_MAX_BYTES // _MEBIBYTE} MiB")
    return content
