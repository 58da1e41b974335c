"""Workbooks for tests: mapping documents, rows, and readers independent of the product (openpyxl, calamine)."""

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
from stafett.file_generator.xlsx import WorkbookSpec, render_workbook
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


def localize(text: str) -> dict[str, str]:
    return {"nb": text, "nn": text, "en": text}


def build_column(type_: str, header: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"the_{type_}", "header": localize(header), "type": type_, "value": None} | fields


def build_document(*columns: dict[str, Any], **fields: Any) -> MappingDocument:
    """Build a document with these columns, by default one of each type."""
    default_columns = (
        build_column("text", "Tekst"),
        build_column("integer", "Heltall"),
        build_column("decimal", "Desimaltall"),
        build_column("date", "Dato"),
        build_column("time", "Klokkeslett"),
        build_column("duration", "Varighet"),
        build_column("yes_no", "Ja eller nei"),
        build_column("choice", "Valg", options="kind"),
    )
    return MappingDocument.model_validate(
        {
            "format": 1,
            "title": "Prøveforbundet, fra 2026",
            "effective_from": "2026-01-01",
            "taxonomies": {"kind": [{"code": code, "label": localize(code)} for code in ("gruppe", "kurs")]},
            "columns": columns or default_columns,
            "counting": {"reasons": []},
        }
        | fields
    )


def build_mapped_rows(rows: int, excluded: int = 0, **fields: Any) -> MappedRows:
    return MappedRows(
        parts=(StagedPart(key="part", rows=rows, sha256=""),),
        excluded_parts=(StagedPart(key="excluded", rows=excluded, sha256=""),) if excluded else (),
        counts=ExportCounts(queried=rows + excluded, written=rows, countable=rows, not_countable=excluded),
        mapping=MappingVersion(version=3, sha256="0123456789abcdef"),
        **fields,
    )


def build_workbook_spec(document: MappingDocument, mapped_rows: MappedRows, locale: Locale = "nb") -> WorkbookSpec:
    return WorkbookSpec(
        document=document, locale=locale, organisation_name="Prøveforbundet", period=YEAR, mapped_rows=mapped_rows
    )


def render_xlsx(
    frames: Sequence[pl.DataFrame],
    document: MappingDocument | None = None,
    *,
    limits: SheetLimits = EXCEL_LIMITS,
    locale: Locale = "nb",
) -> bytes:
    book = build_workbook_spec(
        document or build_document(), build_mapped_rows(sum(frame.height for frame in frames)), locale
    )
    return b"".join(render_workbook(book, report_frames=frames, limits=limits))


def build_frame(*rows: Sequence[Any]) -> pl.DataFrame:
    """Build a frame from rows whose cells are in the order of ``SCHEMA``."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def build_text_frame(*values: str | None) -> pl.DataFrame:
    return pl.DataFrame({"Tekst": values}, schema={"Tekst": pl.String()})


TEXT_DOCUMENT = build_document(build_column("text", "Tekst"))


def open_workbook(file: bytes) -> ReadWorkbook:
    return openpyxl.load_workbook(io.BytesIO(file))


def read_with_openpyxl(file: bytes, sheet: int = 0) -> list[list[Any]]:
    """Read the rows below the header; openpyxl does not decode escapes in inline strings."""
    rows = open_workbook(file).worksheets[sheet].iter_rows(min_row=2, values_only=True)
    return [[_unescape(value) for value in row] for row in rows]


def read_with_calamine(file: bytes, sheet: int = 0) -> list[list[Any]]:
    """Read the rows below the header."""
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file))
    return book.get_sheet_by_index(sheet).to_python(skip_empty_area=False)[1:]


def list_tables(sheet: Worksheet) -> list[tuple[str, str]]:
    return [(table.displayName, table.ref) for table in sheet.tables.values()]


def read_package_part(file: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(file)) as package:
        return package.read(name).decode()


def _unescape(value: Any) -> Any:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value) if isinstance(value, str) else value


def join_chunks(chunks: Iterable[bytes]) -> bytes:
    return b"".join(chunks)
