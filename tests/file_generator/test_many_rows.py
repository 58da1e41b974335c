"""Further sheets, tested with small limits; the real limits differ only in size."""

import io
import zipfile

import polars as pl
import pytest

from stafett.domain.errors import ExportError
from stafett.file_generator.xlsx.builder import EXCEL_LIMITS, SheetLimits
from stafett.storage import zip_archive
from tests.support.workbooks import (
    TEXT_DOCUMENT,
    build_column,
    build_document,
    build_text_frame,
    list_tables,
    localize,
    open_workbook,
    read_with_openpyxl,
    render_xlsx,
)


def build_numbered_rows(rows: int) -> pl.DataFrame:
    return build_text_frame(*(f"nr. {number}" for number in range(rows)))


def test_rows_continue_on_further_sheets_with_header_and_table() -> None:
    file = render_xlsx([build_numbered_rows(25)], TEXT_DOCUMENT, limits=SheetLimits(max_rows=11))
    workbook = open_workbook(file)
    assert workbook.sheetnames == ["Rapport", "Rapport (2)", "Rapport (3)", "Oppsummering", "Avvik", "Om rapporten"]
    texts = [row[0] for sheet in range(3) for row in read_with_openpyxl(file, sheet)]
    assert texts == [f"nr. {number}" for number in range(25)]
    sheets = workbook.worksheets[:3]
    assert [sheet["A1"].value for sheet in sheets] == ["Tekst"] * 3
    assert [sheet.freeze_panes for sheet in sheets] == ["A2"] * 3
    tables = [pair for sheet in sheets for pair in list_tables(sheet)]
    assert tables == [("Rapport", "A1:A11"), ("Rapport_2", "A1:A11"), ("Rapport_3", "A1:A6")]
    assert [sheet.dimensions for sheet in sheets] == ["A1:A11", "A1:A11", "A1:A6"]


@pytest.mark.parametrize(("rows", "sheets"), [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_sheet_is_added_only_when_there_is_a_row_for_it(rows: int, sheets: int) -> None:
    names = open_workbook(
        render_xlsx([build_numbered_rows(rows)], TEXT_DOCUMENT, limits=SheetLimits(max_rows=11))
    ).sheetnames
    assert len([name for name in names if name.startswith("Rapport")]) == sheets


def test_title_rows_are_repeated_and_count_towards_the_limit() -> None:
    layout = {"title_rows": [localize("Prøveforbundet")], "start_cell": "B3"}
    workbook = open_workbook(
        render_xlsx(
            [build_numbered_rows(9)],
            build_document(build_column("text", "Tekst"), layout=layout),
            limits=SheetLimits(max_rows=10),
        )
    )
    first, second = workbook.worksheets[:2]
    assert [first["A1"].value, second["A1"].value] == ["Prøveforbundet"] * 2
    assert [first["B10"].value, second["B4"].value] == ["nr. 6", "nr. 7"]


def test_sheet_ends_before_its_xml_exceeds_the_size_limit() -> None:
    rows = build_text_frame(*("x" * 30_000 for _ in range(1000)))
    file = render_xlsx([rows], TEXT_DOCUMENT, limits=SheetLimits(max_bytes=16_000_000))
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        sizes = [archive.getinfo(f"xl/worksheets/sheet{number}.xml").file_size for number in (1, 2)]
    assert max(sizes) < 16_100_000
    assert sum(len(read_with_openpyxl(file, sheet)) for sheet in range(2)) == 1000
    assert open_workbook(file).sheetnames[1:3] == ["Rapport (2)", "Oppsummering"]


def test_further_sheets_name_is_unique_and_never_too_long() -> None:
    names = {"sheet": localize("R" * 31), "apart_sheet": localize("R" * 27 + " (2)")}
    workbook = open_workbook(
        render_xlsx(
            [build_numbered_rows(3)],
            build_document(build_column("text", "Tekst"), layout=names),
            limits=SheetLimits(max_rows=3),
        )
    )
    assert workbook.sheetnames[:2] == ["R" * 31, "R" * 27 + " (3)"]


def test_file_that_would_need_zip64_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "MAX_ZIP32_BYTES", 10_000)
    with pytest.raises(ExportError, match="too large for one Excel file"):
        render_xlsx([build_numbered_rows(10_000)], TEXT_DOCUMENT)


def test_default_limits_are_excels() -> None:
    assert EXCEL_LIMITS.max_rows == 2**20
    assert EXCEL_LIMITS.max_bytes < 2**32
