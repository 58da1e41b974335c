"""The sheet about the report: its parameters, mapping and counts. Nothing in it changes from run to run."""

from collections.abc import Iterator

from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import WorkbookBuilder, WorkbookSpec
from stafett.file_generator.xlsx.tables import CellValue, SmallTable, write_table

_WIDTHS = (34, 72)


def add_about_sheet(builder: WorkbookBuilder) -> None:
    """Add the sheet, with one property and its value per row."""
    spec = builder.spec
    sheet = builder.add_sheet(spec.translate(spec.document.layout.metadata_sheet))
    headers = [spec.translate(labels.PROPERTY), spec.translate(labels.VALUE)]
    write_table(
        builder,
        sheet,
        0,
        SmallTable(labels.ABOUT_TABLE, headers, list(_build_property_rows(spec)), _WIDTHS, left_aligned=True),
    )
    sheet.freeze_panes(1, 0)
    for number, width in enumerate(_WIDTHS):
        sheet.set_column(number, number, width)


def _build_property_rows(spec: WorkbookSpec) -> Iterator[tuple[CellValue, ...]]:
    translate, mapped, document = spec.translate, spec.mapped_rows, spec.document
    yield translate(labels.ORGANISATION), spec.organisation_name
    yield translate(labels.FIRST_DAY), spec.period[0]
    yield translate(labels.LAST_DAY), spec.period[1]
    yield translate(labels.LANGUAGE), translate(labels.LANGUAGE_NAME)
    yield translate(labels.MAPPING), document.title
    yield translate(labels.MAPPING_VERSION), mapped.mapping.version
    yield translate(labels.MAPPING_EFFECTIVE_FROM), document.effective_from
    yield translate(labels.MAPPING_HASH), mapped.mapping.sha256
    yield translate(labels.QUERIED), mapped.counts.queried
    yield translate(labels.WRITTEN), mapped.counts.written
    yield translate(labels.LONG_NUMBERS), translate(labels.LONG_NUMBERS_NOTE)
