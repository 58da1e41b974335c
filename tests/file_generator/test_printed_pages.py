from typing import Any

import polars as pl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from stafett.file_generator.xlsx import render_workbook
from tests.support.workbooks import (
    build_column,
    build_document,
    build_frame,
    build_mapped_rows,
    build_workbook_spec,
    join_chunks,
    localize,
    open_workbook,
    render_xlsx,
)

ROW = build_frame(["a", 1, *[None] * 6])
PERIOD = "01.01.2026–31.12.2026"  # noqa: RUF001 - correct typography


def render_text_columns(*widths: int, hidden: tuple[int, ...] = (), layout: Any = None) -> Worksheet:
    columns = [
        build_column("text", f"Nr. {number}", width=width, hidden=number in hidden) | {"id": f"column_{number}"}
        for number, width in enumerate(widths)
    ]
    rows = pl.DataFrame({f"Nr. {number}": ["a"] for number in range(len(widths))})
    (sheet, *_) = open_workbook(render_xlsx([rows], build_document(*columns, layout=layout or {}))).worksheets
    return sheet


def read_page_header(sheet: Worksheet) -> tuple[str | None, ...]:
    header: Any = sheet.oddHeader
    return header.left.text, header.center.text, header.right.text


@pytest.mark.parametrize(
    ("organisation", "expected"), [("Prøveforbundet", "Prøveforbundet"), ("Sønn & datter", "Sønn && datter")]
)
def test_every_page_names_the_organisation_and_the_period(organisation: str, expected: str) -> None:
    spec = build_workbook_spec(build_document(), build_mapped_rows(1, 1))
    named_spec = type(spec)(**spec.__dict__ | {"organisation_name": organisation})
    file = join_chunks(render_workbook(named_spec, report_frames=[ROW], excluded_frames=[ROW]))
    sheets = open_workbook(file).worksheets
    assert len(sheets) == 5
    for sheet in sheets:
        assert read_page_header(sheet) == (expected, "Rapport til Bufdir", PERIOD)
        assert sheet.page_setup.orientation == "landscape"
        properties: Any = sheet.sheet_properties.pageSetUpPr
        assert (properties.fitToPage, sheet.page_setup.fitToHeight) == (True, 0)


def test_long_name_of_an_organisation_fits_into_the_page_header() -> None:
    spec = build_workbook_spec(build_document(), build_mapped_rows(1))
    named_spec = type(spec)(**spec.__dict__ | {"organisation_name": "&" * 200})
    sheet = open_workbook(join_chunks(render_workbook(named_spec, report_frames=[ROW]))).worksheets[0]
    assert read_page_header(sheet)[-1] == PERIOD


def test_columns_that_fit_on_a_page_are_printed_on_one() -> None:
    sheet = render_text_columns(100, 100)
    assert sheet.page_setup.fitToWidth is None
    assert (sheet.print_title_rows, sheet.print_title_cols) == ("$1:$1", None)


def test_wide_report_continues_on_a_second_page_with_its_first_column() -> None:
    sheet = render_text_columns(12, 200, 200)
    assert (sheet.page_setup.fitToWidth, sheet.page_setup.pageOrder) == (2, "overThenDown")
    assert (sheet.print_title_rows, sheet.print_title_cols) == ("$1:$1", "$A:$A")


def test_titles_above_a_wide_report_are_not_cut_off_on_the_second_page() -> None:
    titles = {"title_rows": [localize("En tittel på tretti bokstaver.")], "start_cell": "A2"}
    assert render_text_columns(12, 20, 200, 200, layout=titles).print_title_cols == "$A:$B"
    assert render_text_columns(1, 1, 1, 255, 255, layout=titles).print_title_cols == "$A:$A"


def test_hidden_column_is_not_the_one_that_is_repeated() -> None:
    assert render_text_columns(12, 20, 200, 200, hidden=(0,)).print_title_cols == "$A:$B"
    assert render_text_columns(12, hidden=(0,)).print_title_cols is None


def test_hidden_columns_are_shown_by_a_click_and_take_no_paper() -> None:
    sheet = render_text_columns(100, 100, 200, hidden=(2,))
    outline = {
        name: (dimension.hidden, dimension.outlineLevel, dimension.collapsed)
        for name, dimension in sheet.column_dimensions.items()
    }
    assert (outline["A"], outline["C"], outline["D"]) == ((False, 0, False), (True, 1, False), (False, 0, True))
    assert (sheet["C2"].value, sheet.page_setup.fitToWidth) == ("a", None)
