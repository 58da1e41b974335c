import io
import zipfile
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from stafett.domain.export import Locale, PartialFailureReport
from stafett.domain.export_outputs import Deviations, ExportWarning, NotCountableReason, StagedDeviations, Total
from stafett.file_generator.xlsx import render_workbook
from tests.support.workbooks import (
    build_column,
    build_document,
    build_frame,
    build_mapped_rows,
    build_workbook_spec,
    join_chunks,
    list_tables,
    localize,
    open_workbook,
    read_package_part,
    render_xlsx,
)

ROW = build_frame(["a", 1, *[None] * 6])
DEVIATION = pl.DataFrame(
    {
        "date": [date(2026, 1, 7)],
        "mentor": ["Kari Nordmann"],
        "place": ["København"],
        "sheet": ["Rapport"],
        "row": [2],
        "outcome": ["not_countable"],
        "problem": ["Holdt utenfor Norge"],
        "repair": ["Rett aktiviteten."],
        "activity_id": ["00000000-0000-4000-8000-000000000001"],
    }
)


def cells(sheet: Worksheet) -> list[list[Any]]:
    return [[value for value in row if value is not None] for row in sheet.iter_rows(values_only=True)]


SUMMARY = {
    "title": localize("Etter form"),
    "by": "the_yes_no",
    "measures": [
        {"header": localize("Tellende"), "count": "countable"},
        {"header": localize("Sum"), "sum": "the_integer"},
    ],
    "chart": localize("Tellende etter form"),
}
COUNTING = {
    "reasons": [
        {"code": code, "when": False, "label": localize(label)} for code, label in (("a", "Aldri"), ("b", "For få"))
    ]
}


def render_summary(**fields: Any) -> bytes:
    defaults = {
        "totals": (Total(label="Ja", figures=(7, 70)), Total(label="Nei", figures=(3, 10**16))),
        "not_countable": (NotCountableReason(code="b", reason="For få", count=2),),
    }
    document = build_document(summary=SUMMARY, counting=COUNTING)
    return join_chunks(
        render_workbook(build_workbook_spec(document, build_mapped_rows(1, **defaults | fields)), report_frames=[ROW])
    )


def test_summary_has_counts_and_every_reason() -> None:
    sheet = open_workbook(render_summary(warnings=(ExportWarning(code="x", message="Reglene ble endret."),)))[
        "Oppsummering"
    ]
    assert cells(sheet) == [
        ["Prøveforbundet: 01.01.2026–31.12.2026"],  # noqa: RUF001 - correct typography
        ["Aktiviteter"],
        ["Hva som ble av dem", "Antall"],
        ["Registrert i perioden", 1],
        ["Står i rapporten", 1],
        ["Avvist, se arket «Avvik»", 0],
        ["Teller", 1],
        ["Teller ikke", 0],
        ["Hvorfor aktiviteter ikke teller"],
        ["Grunn", "Antall"],
        ["Aldri", 0],
        ["For få", 2],
        ["Sum", 2],
        ["Etter form"],
        ["Ja eller nei", "Tellende", "Sum"],
        ["Ja", 7, 70],
        ["Nei", 3, "10000000000000000"],
        ["Sum", 10, "10000000000000070"],
        ["Verdt å vite"],
        ["Merknad"],
        ["Reglene ble endret."],
    ]
    assert list_tables(sheet) == [
        ("Aktiviteter", "A3:B8"),
        ("Grunner", "A10:B13"),
        ("Summer", "A15:C18"),
        ("Merknader", "A20:A21"),
    ]


def test_total_line_belongs_to_its_table_and_is_no_formula() -> None:
    sheet = open_workbook(render_summary())["Oppsummering"]
    tables = {table.displayName: table for table in sheet.tables.values()}
    assert [tables[name].totalsRowCount for name in ("Aktiviteter", "Grunner", "Summer")] == [None, 1, 1]
    assert (tables["Summer"].autoFilter.ref, tables["Summer"].tableColumns[0].totalsRowLabel) == ("A15:C17", "Sum")
    assert [sheet[cell].font.bold for cell in ("B17", "B18", "C18")] == [False, True, True]
    assert {cell.data_type for cell in sheet[18]} == {"s", "n"}


def test_high_headings_separate_the_tables_of_the_summary_without_empty_rows() -> None:
    sheet = open_workbook(render_summary())["Oppsummering"]
    heights = {cell.value: sheet.row_dimensions[cell.row].height for cell in sheet["A"]}
    assert [heights[text] for text in ("Aktiviteter", "Hvorfor aktiviteter ikke teller", "Etter form", "Teller")] == [
        *[36] * 3,
        None,
    ]
    assert all(cell.value for cell in sheet["A"])


def test_chart_is_native_shows_the_first_measure_and_has_alt_text() -> None:
    file = render_summary()
    chart, drawing = (
        read_package_part(file, "xl/charts/chart1.xml"),
        read_package_part(file, "xl/drawings/drawing1.xml"),
    )
    assert "<c:f>Oppsummering!$A$16:$A$17</c:f>" in chart
    assert "<c:f>Oppsummering!$B$16:$B$17</c:f>" in chart
    assert "<c:v>7</c:v>" in chart
    assert "Tellende etter form" in chart
    assert 'descr="Tellende etter form. Ja: 7; Nei: 3"' in drawing


@pytest.mark.parametrize("text", ["=Rapport!$A$1", "Viktig!A1", "=1+1"])
def test_chart_and_axis_titles_that_look_like_formulas_are_texts(text: str) -> None:
    measure = {"header": localize(text), "count": "countable"}
    summary = SUMMARY | {"title": localize(text), "chart": localize(text), "measures": [measure]}
    layout = {"title_rows": [localize(text)], "start_cell": "A3"}
    columns = [build_column("text", text), build_column("yes_no", "Ja eller nei")]
    document = build_document(*columns, title=text, summary=summary, counting=COUNTING, layout=layout)
    rows = pl.DataFrame({text: [text], "Ja eller nei": ["Ja"]})
    mapped_rows = build_mapped_rows(1, totals=(Total(label="Ja", figures=(1,)),))
    file = join_chunks(render_workbook(build_workbook_spec(document, mapped_rows), report_frames=[rows]))
    workbook = open_workbook(file)
    summary_sheet: Any = workbook["Oppsummering"]
    (chart,) = summary_sheet._charts  # noqa: SLF001 - openpyxl has no public list of charts
    for title in (chart.title, chart.y_axis.title):
        assert title.tx.strRef is None
        assert [run.t for paragraph in title.tx.rich.p for run in paragraph.r] == [text]
    cells_with_text = [
        cell for sheet in workbook.worksheets for row in sheet.iter_rows() for cell in row if cell.value == text
    ]
    assert len(cells_with_text) >= 5
    assert {cell.data_type for cell in cells_with_text} == {"s"}
    assert {type(workbook.properties.title), type(workbook.properties.subject)} == {str}


def test_document_without_a_chart_gives_a_file_without_one() -> None:
    document = build_document(summary={name: field for name, field in SUMMARY.items() if name != "chart"})
    file = join_chunks(render_workbook(build_workbook_spec(document, build_mapped_rows(1)), report_frames=[ROW]))
    assert "xl/charts/chart1.xml" not in zipfile.ZipFile(io.BytesIO(file)).namelist()


def test_excluded_rows_have_a_separate_sheet_with_the_reason() -> None:
    excluded = ROW.with_columns(pl.lit("Aldri").alias("Teller ikke fordi"))
    file = join_chunks(
        render_workbook(
            build_workbook_spec(build_document(), build_mapped_rows(1, 2)),
            report_frames=[ROW],
            excluded_frames=[excluded, excluded],
        )
    )
    workbook = open_workbook(file)
    assert workbook.sheetnames == ["Rapport", "Oppsummering", "Teller ikke", "Avvik", "Om rapporten"]
    assert [row[8] for row in workbook["Teller ikke"].iter_rows(values_only=True)] == [
        "Teller ikke fordi",
        "Aldri",
        "Aldri",
    ]
    assert list_tables(workbook["Teller ikke"]) == [("TellerIkke", "A1:I3")]
    assert ["Står på arket «Teller ikke»", 2] in cells(workbook["Oppsummering"])


def test_deviations_sheet_explains_its_row_numbers() -> None:
    failure = PartialFailureReport(
        affected_row_indices=tuple(range(0, 60, 10)),
        affected_count=60,
        failure_reason="«Tekst» mangler.",
        code="required",
        column="the_text",
        sub_service_name="bufdir-column-mapper",
        is_fatal=True,
    )
    file = join_chunks(
        render_workbook(
            build_workbook_spec(build_document(), build_mapped_rows(1, partial_failures=(failure,))),
            report_frames=[ROW],
        )
    )
    sheet = open_workbook(file)["Avvik"]
    assert sheet["A2"].value == "Hvorfor aktiviteter er avvist eller har en merknad, én linje for hver grunn."
    assert str(sheet["A3"].value).startswith("Nr. 1 er den første aktiviteten i perioden")
    assert cells(sheet)[4] == ["«Tekst» mangler.", "Tekst", "required", "Avvist", 60, "1, 11, 21, 31, 41 …"]
    assert (sheet.freeze_panes, list_tables(sheet)) == ("A5", [("Avvik", "A4:G5")])
    assert [sheet.column_dimensions[name].hidden for name in "ABCDEFG"] == [False, False, True, *[False] * 3, True]


def test_deviations_sheet_without_deviations_has_a_notice() -> None:
    notice = "Ingen aktivitet er avvist eller har en merknad."
    assert cells(open_workbook(render_xlsx([ROW]))["Avvik"])[3] == [notice]


@pytest.mark.parametrize(("locale", "sheet_name"), [("nb", "Avvik"), ("nn", "Avvik"), ("en", "Deviations")])
def test_deviations_sheet_leads_to_the_activities_that_are_listed_by_row(locale: Locale, sheet_name: str) -> None:
    part = StagedDeviations(
        key="deviations", rows=DEVIATION.height, sha256="", rows_before=0, written_before=0, excluded_before=0
    )
    spec = build_workbook_spec(build_document(), build_mapped_rows(1, deviations=Deviations(parts=(part,))), locale)
    file = join_chunks(render_workbook(spec, report_frames=[ROW], deviation_frames=[DEVIATION]))
    workbook = open_workbook(file)
    by_row = workbook.sheetnames[workbook.sheetnames.index(sheet_name) + 1]
    note = str(workbook[sheet_name]["A3"].value)
    assert (f"«{by_row}»" in note or f"“{by_row}”" in note, f": {DEVIATION.height} " in note) == (True, True), note


def test_last_sheet_lists_the_reports_mapping_and_period() -> None:
    sheet = open_workbook(render_xlsx([ROW]))["Om rapporten"]
    facts = {str(row[0]): row[1] for row in sheet.iter_rows(min_row=2, values_only=True)}
    assert facts == {
        "Organisasjon": "Prøveforbundet",
        "Periodens første dag": datetime(2026, 1, 1),  # noqa: DTZ001 - Excel's days have no zone
        "Periodens siste dag": datetime(2026, 12, 31),  # noqa: DTZ001 - the same
        "Språk": "Bokmål (nb)",
        "Regler": "Prøveforbundet, fra 2026",
        "Reglenes versjon": 3,
        "Reglene gjelder fra": datetime(2026, 1, 1),  # noqa: DTZ001 - the same
        "Reglenes SHA-256": "0123456789abcdef",
        "Registrert i perioden": 1,
        "Står i rapporten": 1,
    }


def test_last_sheet_explains_numbers_stored_as_text_only_if_there_are_any() -> None:
    file = render_xlsx([build_frame(["a", 10**15, *[None] * 6])])
    sheet = open_workbook(file)["Om rapporten"]
    assert [row[0] for row in sheet.iter_rows(values_only=True)][-1] == "Lange tall"
    assert open_workbook(file).worksheets[0]["B2"].value == "1000000000000000"


def test_rules_that_apply_from_the_beginning_have_no_first_day_on_the_last_sheet() -> None:
    sheet = open_workbook(render_xlsx([ROW], build_document(effective_from="1900-01-01")))["Om rapporten"]
    assert "Reglene gjelder fra" not in [row[0] for row in sheet.iter_rows(values_only=True)]
