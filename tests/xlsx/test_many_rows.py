"""With small limits; the real ones differ in their figures alone."""

import io
import zipfile

import polars as pl
import pytest

from stafett.domain.errors import ExportError
from stafett.file_generator.xlsx.builder import EXCEL_LIMITS, SheetLimits
from stafett.storage import zip_archive
from tests.xlsx.books import ONLY_TEXT, by_openpyxl, column, document, localized, opened, rendered, tables_of, texts


def numbered(rows: int) -> pl.DataFrame:
    return texts(*(f"nr. {number}" for number in range(rows)))


def test_rows_go_on_in_a_further_sheet_with_its_own_header_and_table() -> None:
    file = rendered([numbered(25)], ONLY_TEXT, limits=SheetLimits(max_rows=11))
    book = opened(file)
    assert book.sheetnames == ["Rapport", "Rapport (2)", "Rapport (3)", "Oppsummering", "Avvik", "Om rapporten"]
    found = [row[0] for sheet in range(3) for row in by_openpyxl(file, sheet)]
    assert found == [f"nr. {number}" for number in range(25)]
    sheets = book.worksheets[:3]
    assert [sheet["A1"].value for sheet in sheets] == ["Tekst"] * 3
    assert [sheet.freeze_panes for sheet in sheets] == ["A2"] * 3
    tables = [pair for sheet in sheets for pair in tables_of(sheet)]
    assert tables == [("Rapport", "A1:A11"), ("Rapport_2", "A1:A11"), ("Rapport_3", "A1:A6")]
    assert [sheet.dimensions for sheet in sheets] == ["A1:A11", "A1:A11", "A1:A6"]


@pytest.mark.parametrize(("rows", "sheets"), [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_a_sheet_is_begun_when_there_is_a_row_for_it(rows: int, sheets: int) -> None:
    names = opened(rendered([numbered(rows)], ONLY_TEXT, limits=SheetLimits(max_rows=11))).sheetnames
    assert len([name for name in names if name.startswith("Rapport")]) == sheets


def test_title_rows_stand_on_every_sheet_and_take_their_room() -> None:
    layout = {"title_rows": [localized("Prøveforbundet")], "start_cell": "B3"}
    book = opened(
        rendered([numbered(9)], document(column("text", "Tekst"), layout=layout), limits=SheetLimits(max_rows=10))
    )
    first, second = book.worksheets[:2]
    assert [first["A1"].value, second["A1"].value] == ["Prøveforbundet"] * 2
    assert [first["B10"].value, second["B4"].value] == ["nr. 6", "nr. 7"]


def test_a_sheet_also_ends_before_its_xml_is_too_large() -> None:
    rows = texts(*("x" * 30_000 for _ in range(1000)))
    file = rendered([rows], ONLY_TEXT, limits=SheetLimits(max_bytes=16_000_000))
    with zipfile.ZipFile(io.BytesIO(file)) as found:
        sizes = [found.getinfo(f"xl/worksheets/sheet{number}.xml").file_size for number in (1, 2)]
    assert max(sizes) < 16_100_000
    assert sum(len(by_openpyxl(file, sheet)) for sheet in range(2)) == 1000
    assert opened(file).sheetnames[1:3] == ["Rapport (2)", "Oppsummering"]


def test_a_further_sheets_name_gives_way_and_is_never_too_long() -> None:
    names = {"sheet": localized("R" * 31), "apart_sheet": localized("R" * 27 + " (2)")}
    book = opened(
        rendered([numbered(3)], document(column("text", "Tekst"), layout=names), limits=SheetLimits(max_rows=3))
    )
    assert book.sheetnames[:2] == ["R" * 31, "R" * 27 + " (3)"]


def test_more_than_a_zip_can_hold_without_zip64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "MAX_ZIP32_BYTES", 10_000)
    with pytest.raises(ExportError, match="too large for one Excel file"):
        rendered([numbered(10_000)], ONLY_TEXT)


def test_the_real_limits_are_excels() -> None:
    assert EXCEL_LIMITS.max_rows == 2**20
    assert EXCEL_LIMITS.max_bytes < 2**32
