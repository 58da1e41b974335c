"""The three organisations' reports, from activities to what independent programs read."""

from typing import Any

import polars as pl
import pytest

from stafett.column_mapper import MappedPart
from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.column_mapper.template import compare_template
from stafett.domain.export import Locale
from stafett.domain.export_outputs import MappedRows, MappingVersion, StagedPart
from stafett.file_generator.xlsx import WorkbookSpec, render_workbook
from stafett.file_generator.xlsx.columns import build_sheet_columns
from tests.support.mapping.activities import activity, map_parts, map_rows
from tests.support.mapping.rows import Row
from tests.support.workbooks import YEAR, join_chunks, open_workbook, read_package_part, read_with_calamine

KINDS = ("samtalegruppe", "oppsokende_samtale", "telefonsamtale", "likepersonskurs", "annet")
ORGANISATIONS = pytest.mark.parametrize("organisation", ["nhf", "hlf", "blindeforbundet"])


def build_activities(number: int = 60) -> list[Row]:
    return [
        activity(
            index, KINDS[index % 5], f"2026-{1 + index % 12:02}-{1 + index % 28:02}T17:00+01:00", minutes=30 + index
        )
        | {
            "participants": index % 9,
            "place": ("Tromsø", "", "Kárášjohka")[index % 3],
            "note": (None, "=1+1")[index % 2],
        }
        for index in range(number)
    ]


def build_report(organisation: str, locale: Locale = "nb") -> tuple[WorkbookSpec, MappedPart]:
    document, rows = load_bundled_mappings(organisation)[-1], build_activities()
    part = map_rows(document, *rows, locale=locale)
    result = map_parts(document, rows, locale=locale)
    outputs = MappedRows(
        parts=(_staged_part(part.report_rows),),
        excluded_parts=(_staged_part(part.excluded_rows),),
        counts=result.counts,
        not_countable=result.not_countable,
        totals=result.totals,
        mapping=MappingVersion(version=1, sha256=document.sha256),
        partial_failures=result.partial_failures,
    )
    return WorkbookSpec(
        document=document, locale=locale, organisation_name=organisation, period=YEAR, mapped_rows=outputs
    ), part


def _staged_part(rows: pl.DataFrame) -> StagedPart:
    return StagedPart(key="part", rows=rows.height, sha256="")


def render(spec: WorkbookSpec, part: MappedPart) -> bytes:
    excluded = part.excluded_rows.with_columns(part.exclusion_reasons.alias("Teller ikke fordi"))
    return join_chunks(render_workbook(spec, report_frames=[part.report_rows], excluded_frames=[excluded]))


@ORGANISATIONS
@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_every_row_is_written_below_the_header(organisation: str, locale: Locale) -> None:
    spec, part = build_report(organisation, locale)
    file = render(spec, part)
    header = spec.document.layout.header_row
    sheet = open_workbook(file).worksheets[0]
    assert [cell.value for cell in sheet[header]] == part.report_rows.columns
    assert sheet.max_row - header == part.report_rows.height
    (table,) = sheet.tables.values()
    assert table.ref.startswith(spec.document.layout.start_cell)
    assert len(read_with_calamine(file)) == part.report_rows.height + header - 1


@ORGANISATIONS
def test_summary_adds_up_to_all_rows_by_category(organisation: str) -> None:
    spec, part = build_report(organisation)
    summary = open_workbook(render(spec, part))["Oppsummering"]
    (table,) = (table for table in summary.tables.values() if table.displayName == "Summer")
    header, *lines = [[cell.value for cell in row] for row in summary[table.ref]]
    rows, countable = (next(header.index(name) for name in names if name in header) for names in _MEASURES)
    assert lines[-1][0] == "Sum"
    assert (
        lines[-1][rows] == sum(line[rows] for line in lines[:-1]) == part.report_rows.height + part.excluded_rows.height
    )
    assert lines[-1][countable] == spec.mapped_rows.counts.countable > 0
    assert len([line for line in lines[:-1] if line[countable]]) > 1


_MEASURES = (("I alt", "Aktiviteter i alt"), ("Tellende",))


@ORGANISATIONS
def test_report_begins_with_the_date_and_hides_the_activity_ids(organisation: str) -> None:
    spec, part = build_report(organisation)
    sheet = open_workbook(render(spec, part)).worksheets[0]
    headers = {cell.value: cell.coordinate.rstrip("0123456789") for cell in sheet[spec.document.layout.header_row]}
    assert next(iter(headers)) == "Dato"
    hidden = {name for name, dimension in sheet.column_dimensions.items() if dimension.hidden}
    assert hidden == {headers["Aktivitets-ID"]}


def test_nhf_report_names_its_period_above_the_table() -> None:
    sheet = open_workbook(render(*build_report("nhf"))).worksheets[0]
    assert sheet["A3"].value == "01.01.2026–31.12.2026"  # noqa: RUF001 - correct typography
    assert sheet.print_title_cols == "$A:$B"


@ORGANISATIONS
def test_report_matches_its_document_as_a_template(organisation: str, tmp_path: Any) -> None:
    spec, part = build_report(organisation)
    file = tmp_path / "rapport.xlsx"
    file.write_bytes(render(spec, part))
    assert compare_template(spec.document, file, "nb") == []


def test_hlf_report_lists_uncountable_rows_on_a_separate_sheet() -> None:
    spec, part = build_report("hlf")
    sheet = open_workbook(render(spec, part))["Teller ikke"]
    assert sheet.max_row - 1 == part.excluded_rows.height > 0
    reasons = [row[-1] for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert reasons == part.exclusion_reasons.to_list()


def test_nhf_report_has_its_totals_and_their_chart() -> None:
    spec, part = build_report("nhf")
    file = render(spec, part)
    summary = open_workbook(file)["Oppsummering"]
    lines = [row[:6] for row in summary.iter_rows(values_only=True)]
    for total in spec.mapped_rows.totals:
        assert (total.label, *total.figures) in lines
    assert "Tellende aktiviteter etter kategori" in read_package_part(file, "xl/charts/chart1.xml")


def test_same_activities_give_the_same_file() -> None:
    assert render(*build_report("hlf")) == render(*build_report("hlf"))


@ORGANISATIONS
@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_columns_fit_the_longest_word_of_their_header(organisation: str, locale: Locale) -> None:
    spec, _ = build_report(organisation, locale)
    for column in build_sheet_columns(spec.document, locale):
        assert column.width >= max(map(len, column.header.split())) + 3
