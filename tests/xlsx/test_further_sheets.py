import io
import zipfile
from datetime import datetime
from typing import Any

import polars as pl
from openpyxl.worksheet.worksheet import Worksheet

from stafett.domain.export import PartialFailureReport
from stafett.domain.export_outputs import ExportWarning, NotCountableReason, Total
from stafett.file_generator.xlsx import render_workbook
from tests.xlsx.books import (
    document,
    frame,
    joined,
    localized,
    mapped,
    opened,
    part_of,
    rendered,
    tables_of,
    workbook,
)

ROW = frame(["a", 1, *[None] * 6])


def cells(sheet: Worksheet) -> list[list[Any]]:
    return [[value for value in row if value is not None] for row in sheet.iter_rows(values_only=True)]


SUMMARY = {
    "title": localized("Etter form"),
    "by": "the_yes_no",
    "measures": [
        {"header": localized("Tellende"), "count": "countable"},
        {"header": localized("Sum"), "sum": "the_integer"},
    ],
    "chart": localized("Tellende etter form"),
}
COUNTING = {
    "reasons": [
        {"code": code, "when": False, "label": localized(label)} for code, label in (("a", "Aldri"), ("b", "For få"))
    ]
}


def summarised(**said: Any) -> bytes:
    found = {
        "totals": (Total(label="Ja", figures=(7, 70)), Total(label="Nei", figures=(3, 10**16))),
        "not_countable": (NotCountableReason(code="b", reason="For få", count=2),),
    }
    by = document(summary=SUMMARY, counting=COUNTING)
    return joined(render_workbook(workbook(by, mapped(1, **found | said)), report_frames=[ROW]))


def test_the_summary_counts_and_gives_every_reason() -> None:
    sheet = opened(summarised(warnings=(ExportWarning(code="x", message="Reglene ble endret."),)))["Oppsummering"]
    assert cells(sheet) == [
        ["Prøveforbundet: 01.01.2026–31.12.2026"],  # noqa: RUF001 - as people write it
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
        ["Etter form"],
        ["Ja eller nei", "Tellende", "Sum"],
        ["Ja", 7, 70],
        ["Nei", 3, "10000000000000000"],
        ["Verdt å vite"],
        ["Merknad"],
        ["Reglene ble endret."],
    ]
    assert tables_of(sheet) == [
        ("Aktiviteter", "A3:B8"),
        ("Grunner", "A10:B12"),
        ("Summer", "A14:C16"),
        ("Merknader", "A18:A19"),
    ]


def test_the_chart_is_native_shows_the_first_measure_and_is_told_in_words() -> None:
    file = summarised()
    chart, drawing = part_of(file, "xl/charts/chart1.xml"), part_of(file, "xl/drawings/drawing1.xml")
    assert "<c:f>Oppsummering!$A$15:$A$16</c:f>" in chart
    assert "<c:f>Oppsummering!$B$15:$B$16</c:f>" in chart
    assert "<c:v>7</c:v>" in chart
    assert "Tellende etter form" in chart
    assert 'descr="Tellende etter form. Ja: 7; Nei: 3"' in drawing


def test_without_a_chart_in_the_document_there_is_none() -> None:
    by = document(summary={name: said for name, said in SUMMARY.items() if name != "chart"})
    file = joined(render_workbook(workbook(by, mapped(1)), report_frames=[ROW]))
    assert "xl/charts/chart1.xml" not in zipfile.ZipFile(io.BytesIO(file)).namelist()


def test_what_is_listed_apart_has_a_sheet_of_its_own_with_the_reason() -> None:
    apart = ROW.with_columns(pl.lit("Aldri").alias("Teller ikke fordi"))
    file = joined(
        render_workbook(workbook(document(), mapped(1, 2)), report_frames=[ROW], excluded_frames=[apart, apart])
    )
    book = opened(file)
    assert book.sheetnames == ["Rapport", "Oppsummering", "Teller ikke", "Avvik", "Om rapporten"]
    assert [row[8] for row in book["Teller ikke"].iter_rows(values_only=True)] == [
        "Teller ikke fordi",
        "Aldri",
        "Aldri",
    ]
    assert tables_of(book["Teller ikke"]) == [("TellerIkke", "A1:I3")]
    assert ["Står på arket «Teller ikke»", 2] in cells(book["Oppsummering"])


def test_the_sheet_of_deviations_says_which_numbers_it_gives() -> None:
    failure = PartialFailureReport(
        affected_row_indices=tuple(range(0, 60, 10)),
        affected_count=60,
        failure_reason="«Tekst» mangler.",
        code="required",
        column="the_text",
        sub_service_name="bufdir-column-mapper",
        is_fatal=True,
    )
    file = joined(render_workbook(workbook(document(), mapped(1, partial_failures=(failure,))), report_frames=[ROW]))
    sheet = opened(file)["Avvik"]
    assert str(sheet["A1"].value).startswith("Nr. 1 er den første aktiviteten i perioden")
    assert cells(sheet)[2] == ["«Tekst» mangler.", "Tekst", "required", "Avvist", 60, "1, 11, 21, 31, 41 …"]
    assert (sheet.freeze_panes, tables_of(sheet)) == ("A3", [("Avvik", "A2:G3")])


def test_without_deviations_the_sheet_says_so() -> None:
    assert cells(opened(rendered([ROW]))["Avvik"])[2] == ["Ingen avvik"]


def test_the_last_sheet_tells_what_the_report_was_made_by() -> None:
    sheet = opened(rendered([ROW]))["Om rapporten"]
    facts = {str(row[0]): row[1] for row in sheet.iter_rows(min_row=2, values_only=True)}
    assert facts | {"Lange tall": ""} == {
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
        "Lange tall": "",
    }
