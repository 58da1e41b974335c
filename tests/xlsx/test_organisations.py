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
from tests.mapping.activities import activity, mapped, outcome
from tests.mapping.rows import Row
from tests.xlsx.books import YEAR, by_calamine, joined, opened, part_of

KINDS = ("samtalegruppe", "oppsokende_samtale", "telefonsamtale", "likepersonskurs", "annet")
ORGANISATIONS = pytest.mark.parametrize("organisation", ["nhf", "hlf", "blindeforbundet"])


def activities(number: int = 60) -> list[Row]:
    return [
        activity(one, KINDS[one % 5], f"2026-{1 + one % 12:02}-{1 + one % 28:02}T17:00+01:00", minutes=30 + one)
        | {"participants": one % 9, "place": ("Tromsø", "", "Kárášjohka")[one % 3], "note": (None, "=1+1")[one % 2]}
        for one in range(number)
    ]


def report(organisation: str, locale: Locale = "nb") -> tuple[WorkbookSpec, MappedPart]:
    by, rows = load_bundled_mappings(organisation)[-1], activities()
    part = mapped(by, *rows, locale=locale)
    result = outcome(by, rows, locale=locale)
    outputs = MappedRows(
        parts=(_part(part.report_rows),),
        excluded_parts=(_part(part.excluded_rows),),
        counts=result.counts,
        not_countable=result.not_countable,
        totals=result.totals,
        mapping=MappingVersion(version=1, sha256=by.sha256),
        partial_failures=result.partial_failures,
    )
    return WorkbookSpec(
        document=by, locale=locale, organisation_name=organisation, period=YEAR, mapped_rows=outputs
    ), part


def _part(rows: pl.DataFrame) -> StagedPart:
    return StagedPart(key="part", rows=rows.height, sha256="")


def written(book: WorkbookSpec, part: MappedPart) -> bytes:
    apart = part.excluded_rows.with_columns(part.exclusion_reasons.alias("Teller ikke fordi"))
    return joined(render_workbook(book, report_frames=[part.report_rows], excluded_frames=[apart]))


@ORGANISATIONS
@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_every_row_is_there_under_its_header(organisation: str, locale: Locale) -> None:
    book, part = report(organisation, locale)
    file = written(book, part)
    header = book.document.layout.header_row
    sheet = opened(file).worksheets[0]
    assert [cell.value for cell in sheet[header]] == part.report_rows.columns
    assert sheet.max_row - header == part.report_rows.height
    (table,) = sheet.tables.values()
    assert table.ref.startswith(book.document.layout.start_cell)
    assert len(by_calamine(file)) == part.report_rows.height + header - 1


@ORGANISATIONS
def test_the_report_agrees_with_its_own_document_as_a_template_does(organisation: str, tmp_path: Any) -> None:
    book, part = report(organisation)
    file = tmp_path / "rapport.xlsx"
    file.write_bytes(written(book, part))
    assert compare_template(book.document, file, "nb") == []


def test_hlf_lists_apart_what_does_not_count() -> None:
    book, part = report("hlf")
    sheet = opened(written(book, part))["Teller ikke"]
    assert sheet.max_row - 1 == part.excluded_rows.height > 0
    reasons = [row[-1] for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert reasons == part.exclusion_reasons.to_list()


def test_nhf_has_its_totals_and_their_chart() -> None:
    book, part = report("nhf")
    file = written(book, part)
    summary = opened(file)["Oppsummering"]
    lines = [row[:6] for row in summary.iter_rows(values_only=True)]
    for total in book.mapped_rows.totals:
        assert (total.label, *total.figures) in lines
    assert "Tellende aktiviteter etter kategori" in part_of(file, "xl/charts/chart1.xml")


def test_the_same_activities_are_the_same_file() -> None:
    assert written(*report("hlf")) == written(*report("hlf"))


@ORGANISATIONS
@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_no_word_of_a_header_is_broken(organisation: str, locale: Locale) -> None:
    workbook, _ = report(organisation, locale)
    for column in build_sheet_columns(workbook.document, locale):
        assert column.width >= max(map(len, column.header.split())) + 3
