"""The sheet about the report: its parameters, mapping and counts. Nothing in it changes from run to run."""

from collections.abc import Iterator
from datetime import date

from stafett.domain.reporting_period import EARLIEST_YEAR
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import WorkbookBuilder
from stafett.file_generator.xlsx.page_setup import ColumnSetup, set_up_columns
from stafett.file_generator.xlsx.tables import CellValue, SmallTable, write_table

_COLUMNS = (ColumnSetup(34), ColumnSetup(72))


def add_about_sheet(builder: WorkbookBuilder) -> None:
    """Add the sheet, with one property and its value per row."""
    spec = builder.spec
    sheet = builder.add_sheet(spec.translate(spec.document.layout.metadata_sheet))
    headers = [spec.translate(labels.PROPERTY), spec.translate(labels.VALUE)]
    rows = list(_build_property_rows(builder))
    write_table(builder, sheet, 0, SmallTable(labels.ABOUT_TABLE, headers, rows, _COLUMNS, left_aligned=True))
    sheet.freeze_panes(1, 0)
    set_up_columns(sheet, _COLUMNS)


def _build_property_rows(builder: WorkbookBuilder) -> Iterator[tuple[CellValue, ...]]:
    spec = builder.spec
    translate, mapped, document = spec.translate, spec.mapped_rows, spec.document
    yield translate(labels.ORGANISATION), spec.organisation_name
    yield translate(labels.FIRST_DAY), spec.period[0]
    yield translate(labels.LAST_DAY), spec.period[1]
    yield translate(labels.LANGUAGE), translate(labels.LANGUAGE_NAME)
    yield translate(labels.MAPPING), document.title
    yield translate(labels.MAPPING_VERSION), mapped.mapping.version
    if document.effective_from > date(EARLIEST_YEAR, 1, 1):  # otherwise the rules apply to every report
        yield translate(labels.MAPPING_EFFECTIVE_FROM), document.effective_from
    yield translate(labels.MAPPING_HASH), mapped.mapping.sha256
    yield translate(labels.QUERIED), mapped.counts.queried
    yield translate(labels.WRITTEN), mapped.counts.written
    if builder.has_numbers_as_text:
        yield translate(labels.LONG_NUMBERS), translate(labels.LONG_NUMBERS_NOTE)
