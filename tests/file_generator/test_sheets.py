import io
import zipfile
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from stafett.domain.export import Locale
from tests.support.workbooks import (
    SCHEMA,
    TEXT_DOCUMENT,
    build_column,
    build_document,
    build_frame,
    build_text_frame,
    localize,
    open_workbook,
    read_package_part,
    render_xlsx,
)

ROW = build_frame(["a", 1, *[None] * 6])
CHOICES_ROW = build_frame(["a", 1, 2, *[None] * 3, "Ja", "kurs"])


def open_report(**fields: Any) -> Worksheet:
    return open_workbook(render_xlsx([CHOICES_ROW], build_document(**fields))).worksheets[0]


def cells(sheet: Worksheet) -> list[list[Any]]:
    return [[value for value in row if value is not None] for row in sheet.iter_rows(values_only=True)]


def test_header_is_a_frozen_excel_table_header() -> None:
    sheet = open_report()
    (table,) = sheet.tables.values()
    assert (table.displayName, table.ref, table.autoFilter.ref) == ("Rapport", "A1:H2", "A1:H2")
    assert [column.name for column in table.tableColumns] == list(SCHEMA)
    assert (table.tableStyleInfo.name, table.tableStyleInfo.showRowStripes) == ("TableStyleLight1", True)
    assert sheet.freeze_panes == "A2"
    assert sheet.print_title_rows == "$1:$1"
    assert list(sheet.merged_cells.ranges) == []


def test_layout_determines_the_position_of_the_report() -> None:
    layout = {
        "sheet": localize("Likepersonsaktivitet"),
        "title_rows": [localize("{organisation}"), localize("=Rapport"), localize("{period}")],
        "start_cell": "C5",
        "frozen_header": False,
    }
    sheet = open_report(layout=layout)
    assert sheet.title == "Likepersonsaktivitet"
    assert [sheet["A1"].value, sheet["A2"].value, sheet["A2"].data_type] == ["Prøveforbundet", "=Rapport", "s"]
    assert sheet["A3"].value == "01.01.2026–31.12.2026"  # noqa: RUF001 - correct typography
    assert [sheet["C5"].value, sheet["D6"].value] == ["Tekst", 1]
    assert sheet.freeze_panes is None
    assert [table.ref for table in sheet.tables.values()] == ["C5:J6"]
    assert sheet.dimensions == "A1:J6"


def test_number_format_and_width_depend_on_type_unless_declared() -> None:
    sheet = open_report()
    formats = [sheet.column_dimensions[column].number_format for column in "ABCDEFGH"]
    assert formats == ["@", "0", "0.00", "dd.mm.yyyy", "hh:mm", "[h]:mm", "@", "@"]
    assert [sheet[f"{column}2"].number_format for column in "ABCGH"] == ["@", "0", "0.00", "@", "@"]
    widths = [round(sheet.column_dimensions[column].width) for column in "ABCDEFGH"]
    assert widths == [31, 12, 16, 13, 16, 13, 17, 9]
    declared = build_document(build_column("integer", "Tekst", width=50, number_format="0 000"))
    (sheet, *_) = open_workbook(
        render_xlsx([build_text_frame().cast({"Tekst": SCHEMA["Heltall"]})], declared)
    ).worksheets
    assert (round(sheet.column_dimensions["A"].width), sheet.column_dimensions["A"].number_format) == (51, "0 000")


@pytest.mark.parametrize(("locale", "expected"), [("nb", "dd.mm.yyyy"), ("nn", "dd.mm.yyyy"), ("en", "yyyy-mm-dd")])
def test_date_format_depends_on_the_locale(locale: Locale, expected: str) -> None:
    (sheet, *_) = open_workbook(render_xlsx([ROW], locale=locale)).worksheets
    assert sheet.column_dimensions["D"].number_format == expected


def test_choices_are_offered_as_validation_lists() -> None:
    validations = {str(validation.sqref): validation for validation in open_report().data_validations.dataValidation}
    assert {cells: validation.formula1 for cells, validation in validations.items()} == {
        "G2": '"Ja,Nei"',
        "H2": '"gruppe,kurs"',
    }
    assert {validation.type for validation in validations.values()} == {"list"}
    assert [validation.errorStyle for validation in validations.values()] == [None, None]


def test_column_that_keeps_unknown_values_only_warns() -> None:
    column = build_column("choice", "Tekst", options="kind", unknown="keep", required=True)
    (sheet, *_) = open_workbook(render_xlsx([build_text_frame("gruppe")], build_document(column))).worksheets
    (validation,) = sheet.data_validations.dataValidation
    assert (validation.errorStyle, validation.allowBlank) == ("warning", False)


@pytest.mark.parametrize("labels", [[f"valg nr. {number}" for number in range(30)], ["en, to", "tre"], [' "a"', "b"]])
def test_long_validation_lists_are_written_to_a_hidden_sheet(labels: list[str]) -> None:
    taxonomies = {"kind": [{"code": f"c{n}", "label": localize(label)} for n, label in enumerate(labels)]}
    columns = [build_column("choice", name, options="kind") | {"id": name.lower()} for name in ("Tekst", "Annet")]
    rows = build_text_frame(labels[0]).with_columns(Annet=pl.col("Tekst"))
    workbook = open_workbook(render_xlsx([rows], build_document(*columns, taxonomies=taxonomies)))
    validations = [validation.formula1 for validation in workbook.worksheets[0].data_validations.dataValidation]
    assert validations == [f"'Lister'!$A$1:$A${len(labels)}"] * 2
    assert workbook.sheetnames[-1] == "Lister"
    assert workbook["Lister"].sheet_state == "hidden"
    assert [row[0] for row in workbook["Lister"].iter_rows(values_only=True)] == labels


def test_headers_that_excel_rejects_are_repaired_in_cell_and_table() -> None:
    headers = ["_x0041_", "to\nlinjer", "a" * 300, "a" * 299 + "b"]
    columns = [build_column("text", text) | {"id": f"c{number}"} for number, text in enumerate(headers)]
    rows = pl.DataFrame({key: ["x"] for key in headers})
    file = render_xlsx([rows], build_document(*columns))
    expected = ["_x0041_", "to linjer", "a" * 255, "a" * 251 + " (2)"]
    assert [cell.value for cell in open_workbook(file).worksheets[0][1]] == expected
    assert 'name="_x005F_x0041_"' in read_package_part(file, "xl/tables/table1.xml")
    (table,) = open_workbook(file).worksheets[0].tables.values()
    assert [column.name for column in table.tableColumns][1:] == expected[1:]


def test_report_without_rows_is_still_a_table() -> None:
    sheet = open_workbook(render_xlsx([])).worksheets[0]
    assert [table.ref for table in sheet.tables.values()] == ["A1:H2"]
    assert [cell.value for cell in sheet[1]] == list(SCHEMA)


def test_row_height_fits_a_long_text() -> None:
    (sheet, *_) = open_workbook(
        render_xlsx([build_text_frame("kort", "ord " * 40, "to\nlinjer", None)], TEXT_DOCUMENT)
    ).worksheets
    assert [sheet.row_dimensions[row].height for row in (2, 3, 4, 5)] == [None, 90, 30, None]


def test_file_properties_depend_on_the_period_and_not_on_the_clock() -> None:
    properties = open_workbook(
        render_xlsx([ROW], build_document(layout={"title_rows": [localize("En")], "start_cell": "A3"}))
    ).properties
    period = "01.01.2026–31.12.2026"  # noqa: RUF001 - correct typography
    assert properties.title == f"Prøveforbundet: Rapport, {period}"
    assert properties.subject == f"Rapport til Bufdir, {period}"
    assert (properties.creator, properties.created, properties.modified) == (
        "Prøveforbundet",
        *[datetime(2026, 12, 31)] * 2,  # noqa: DTZ001 - Excel knows no zones
    )


def test_archive_starts_with_the_package_parts_and_avoids_zip64() -> None:
    with zipfile.ZipFile(io.BytesIO(render_xlsx([ROW]))) as archive:
        assert archive.namelist()[:3] == ["_rels/.rels", "docProps/core.xml", "xl/theme/theme1.xml"]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.extract_version for entry in archive.infolist()} == {20}
        assert archive.testzip() is None
