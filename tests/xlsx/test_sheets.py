import io
import zipfile
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from stafett.domain.export import Locale
from tests.xlsx.books import (
    ONLY_TEXT,
    SCHEMA,
    column,
    document,
    frame,
    localized,
    opened,
    part_of,
    rendered,
    texts,
)

ROW = frame(["a", 1, *[None] * 6])
EVERY = frame(["a", 1, 2, *[None] * 3, "Ja", "kurs"])


def report(**said: Any) -> Worksheet:
    return opened(rendered([EVERY], document(**said))).worksheets[0]


def cells(sheet: Worksheet) -> list[list[Any]]:
    return [[value for value in row if value is not None] for row in sheet.iter_rows(values_only=True)]


def test_the_header_is_an_excel_table_that_stays_in_sight() -> None:
    sheet = report()
    (table,) = sheet.tables.values()
    assert (table.displayName, table.ref, table.autoFilter.ref) == ("Rapport", "A1:H2", "A1:H2")
    assert [one.name for one in table.tableColumns] == list(SCHEMA)
    assert (table.tableStyleInfo.name, table.tableStyleInfo.showRowStripes) == ("TableStyleLight1", True)
    assert sheet.freeze_panes == "A2"
    assert sheet.print_title_rows == "$1:$1"
    assert list(sheet.merged_cells.ranges) == []


def test_the_layout_says_where_the_report_stands() -> None:
    layout = {
        "sheet": localized("Likepersonsaktivitet"),
        "title_rows": [localized("Prøveforbundet"), localized("=Rapport")],
        "start_cell": "C5",
        "frozen_header": False,
    }
    sheet = report(layout=layout)
    assert sheet.title == "Likepersonsaktivitet"
    assert [sheet["A1"].value, sheet["A2"].value, sheet["A2"].data_type] == ["Prøveforbundet", "=Rapport", "s"]
    assert [sheet["C5"].value, sheet["D6"].value] == ["Tekst", 1]
    assert sheet.freeze_panes is None
    assert [table.ref for table in sheet.tables.values()] == ["C5:J6"]
    assert sheet.dimensions == "A1:J6"


def test_every_type_has_its_number_format_and_width_unless_the_document_says_otherwise() -> None:
    sheet = report()
    formats = [sheet.column_dimensions[letter].number_format for letter in "ABCDEFGH"]
    assert formats == ["@", "0", "0.00", "dd.mm.yyyy", "hh:mm", "[h]:mm", "@", "@"]
    assert [sheet[f"{letter}2"].number_format for letter in "ABCGH"] == ["@", "0", "0.00", "@", "@"]
    widths = [round(sheet.column_dimensions[letter].width) for letter in "ABCDEFGH"]
    assert widths == [31, 12, 16, 13, 16, 13, 17, 9]
    declared = document(column("integer", "Tekst", width=50, number_format="0 000"))
    (sheet, *_) = opened(rendered([texts().cast({"Tekst": SCHEMA["Heltall"]})], declared)).worksheets
    assert (round(sheet.column_dimensions["A"].width), sheet.column_dimensions["A"].number_format) == (51, "0 000")


@pytest.mark.parametrize(("locale", "written"), [("nb", "dd.mm.yyyy"), ("nn", "dd.mm.yyyy"), ("en", "yyyy-mm-dd")])
def test_days_are_written_as_in_their_language(locale: Locale, written: str) -> None:
    (sheet, *_) = opened(rendered([ROW], locale=locale)).worksheets
    assert sheet.column_dimensions["D"].number_format == written


def test_what_may_be_chosen_is_offered() -> None:
    validations = {str(one.sqref): one for one in report().data_validations.dataValidation}
    assert {cells: one.formula1 for cells, one in validations.items()} == {"G2": '"Ja,Nei"', "H2": '"gruppe,kurs"'}
    assert {one.type for one in validations.values()} == {"list"}
    assert [one.errorStyle for one in validations.values()] == [None, None]


def test_a_column_that_keeps_unknown_values_only_warns() -> None:
    keeps = column("choice", "Tekst", options="kind", unknown="keep", required=True)
    (sheet, *_) = opened(rendered([texts("gruppe")], document(keeps))).worksheets
    (validation,) = sheet.data_validations.dataValidation
    assert (validation.errorStyle, validation.allowBlank) == ("warning", False)


@pytest.mark.parametrize("labels", [[f"valg nr. {number}" for number in range(30)], ["en, to", "tre"], [' "a"', "b"]])
def test_what_does_not_fit_into_a_validation_stands_on_a_hidden_sheet(labels: list[str]) -> None:
    taxonomies = {"kind": [{"code": f"c{n}", "label": localized(label)} for n, label in enumerate(labels)]}
    both = [column("choice", name, options="kind") | {"id": name.lower()} for name in ("Tekst", "Annet")]
    rows = texts(labels[0]).with_columns(Annet=pl.col("Tekst"))
    book = opened(rendered([rows], document(*both, taxonomies=taxonomies)))
    validations = [one.formula1 for one in book.worksheets[0].data_validations.dataValidation]
    assert validations == [f"'Lister'!$A$1:$A${len(labels)}"] * 2
    assert book.sheetnames[-1] == "Lister"
    assert book["Lister"].sheet_state == "hidden"
    assert [row[0] for row in book["Lister"].iter_rows(values_only=True)] == labels


def test_headers_that_excel_would_repair_are_mended_in_cell_and_table_alike() -> None:
    spelled = ["_x0041_", "to\nlinjer", "a" * 300, "a" * 299 + "b"]
    columns = [column("text", text) | {"id": f"c{number}"} for number, text in enumerate(spelled)]
    rows = pl.DataFrame({key: ["x"] for key in spelled})
    file = rendered([rows], document(*columns))
    wanted = ["_x0041_", "to linjer", "a" * 255, "a" * 251 + " (2)"]
    assert [cell.value for cell in opened(file).worksheets[0][1]] == wanted
    assert 'name="_x005F_x0041_"' in part_of(file, "xl/tables/table1.xml")
    (table,) = opened(file).worksheets[0].tables.values()
    assert [one.name for one in table.tableColumns][1:] == wanted[1:]


def test_a_report_without_rows_is_a_table_all_the_same() -> None:
    sheet = opened(rendered([])).worksheets[0]
    assert [table.ref for table in sheet.tables.values()] == ["A1:H2"]
    assert [cell.value for cell in sheet[1]] == list(SCHEMA)


def test_the_row_of_a_long_text_is_high_enough() -> None:
    (sheet, *_) = opened(rendered([texts("kort", "ord " * 40, "to\nlinjer", None)], ONLY_TEXT)).worksheets
    assert [sheet.row_dimensions[row].height for row in (2, 3, 4, 5)] == [None, 90, 30, None]


def test_the_files_properties_know_the_period_and_no_clock() -> None:
    said = opened(rendered([ROW], document(layout={"title_rows": [localized("En")], "start_cell": "A3"}))).properties
    assert (said.title, said.subject) == ("En", "Rapport til Bufdir, 01.01.2026–31.12.2026")  # noqa: RUF001 - the same
    assert (said.creator, said.created, said.modified) == ("Prøveforbundet", *[datetime(2026, 12, 31)] * 2)  # noqa: DTZ001 - Excel knows no zones


def test_programs_know_the_file_by_its_beginning_and_no_part_is_zip64() -> None:
    with zipfile.ZipFile(io.BytesIO(rendered([ROW]))) as found:
        assert found.namelist()[:3] == ["_rels/.rels", "docProps/core.xml", "xl/theme/theme1.xml"]
        assert {one.date_time for one in found.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {one.extract_version for one in found.infolist()} == {20}
        assert found.testzip() is None
