"""Workbooks for tests: a document of every type of column, rows for it, and what independent programs read."""

import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import openpyxl
import polars as pl
import python_calamine
from openpyxl.workbook import Workbook as ReadWorkbook
from openpyxl.worksheet.worksheet import Worksheet

from stafett.column_mapper.document import MappingDocument
from stafett.domain.export import ExportCounts, Locale
from stafett.domain.export_outputs import MappedRows, MappingVersion, StagedPart
from stafett.file_generator.xlsx import TruncatedTexts, WorkbookSpec, render_workbook
from stafett.file_generator.xlsx.builder import EXCEL_LIMITS, SheetLimits

YEAR = (date(2026, 1, 1), date(2026, 12, 31))
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")

SCHEMA = pl.Schema(
    {
        "Tekst": pl.String(),
        "Heltall": pl.Int64(),
        "Desimaltall": pl.Decimal(38, 2),
        "Dato": pl.Date(),
        "Klokkeslett": pl.Time(),
        "Varighet": pl.Duration("us"),
        "Ja eller nei": pl.String(),
        "Valg": pl.String(),
    }
)


def localized(text: str) -> dict[str, str]:
    return {"nb": text, "nn": text, "en": text}


def column(type_: str, header: str, **said: Any) -> dict[str, Any]:
    return {"id": f"the_{type_}", "header": localized(header), "type": type_, "value": None} | said


def document(*columns: dict[str, Any], **said: Any) -> MappingDocument:
    """Of every type of column, unless other columns are given."""
    every = (
        column("text", "Tekst"),
        column("integer", "Heltall"),
        column("decimal", "Desimaltall"),
        column("date", "Dato"),
        column("time", "Klokkeslett"),
        column("duration", "Varighet"),
        column("yes_no", "Ja eller nei"),
        column("choice", "Valg", options="kind"),
    )
    return MappingDocument.model_validate(
        {
            "format": 1,
            "title": "Prøveforbundet, fra 2026",
            "effective_from": "2026-01-01",
            "taxonomies": {"kind": [{"code": code, "label": localized(code)} for code in ("gruppe", "kurs")]},
            "columns": columns or every,
            "counting": {"reasons": []},
        }
        | said
    )


def mapped(rows: int, apart: int = 0, **said: Any) -> MappedRows:
    return MappedRows(
        parts=(StagedPart(key="part", rows=rows, sha256=""),),
        excluded_parts=(StagedPart(key="apart", rows=apart, sha256=""),) if apart else (),
        counts=ExportCounts(queried=rows + apart, written=rows, countable=rows, not_countable=apart),
        mapping=MappingVersion(version=3, sha256="0123456789abcdef"),
        **said,
    )


def workbook(by: MappingDocument, rows: MappedRows, locale: Locale = "nb") -> WorkbookSpec:
    return WorkbookSpec(document=by, locale=locale, organisation_name="Prøveforbundet", period=YEAR, mapped_rows=rows)


def rendered(
    frames: Sequence[pl.DataFrame],
    by: MappingDocument | None = None,
    *,
    limits: SheetLimits = EXCEL_LIMITS,
    cut: TruncatedTexts | None = None,
    locale: Locale = "nb",
) -> bytes:
    book = workbook(by or document(), mapped(sum(frame.height for frame in frames)), locale)
    return b"".join(render_workbook(book, report_frames=frames, limits=limits, truncated=cut))


def frame(*rows: Sequence[Any]) -> pl.DataFrame:
    """Cells in the order of ``SCHEMA``."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def texts(*said: str | None) -> pl.DataFrame:
    return pl.DataFrame({"Tekst": said}, schema={"Tekst": pl.String()})


ONLY_TEXT = document(column("text", "Tekst"))


def opened(file: bytes) -> ReadWorkbook:
    return openpyxl.load_workbook(io.BytesIO(file))


def by_openpyxl(file: bytes, sheet: int = 0) -> list[list[Any]]:
    """The rows below the header; openpyxl leaves escapes in inline strings as they are."""
    rows = opened(file).worksheets[sheet].iter_rows(min_row=2, values_only=True)
    return [[_unescaped(value) for value in row] for row in rows]


def by_calamine(file: bytes, sheet: int = 0) -> list[list[Any]]:
    """The rows below the header."""
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file))
    return book.get_sheet_by_index(sheet).to_python(skip_empty_area=False)[1:]


def tables_of(sheet: Worksheet) -> list[tuple[str, str]]:
    return [(table.displayName, table.ref) for table in sheet.tables.values()]


def part_of(file: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(file)) as found:
        return found.read(name).decode()


def _unescaped(value: Any) -> Any:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value) if isinstance(value, str) else value


def joined(chunks: Iterable[bytes]) -> bytes:
    return b"".join(chunks)
