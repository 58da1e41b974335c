"""The sheet about the report: by which rules it was made, and from what. Nothing here changes from run to run."""

from collections.abc import Iterator

from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import WorkbookBuilder, WorkbookSpec
from stafett.file_generator.xlsx.tables import CellValue, SmallTable, write_table

_WIDTHS = (34, 72)


def add_about_sheet(builder: WorkbookBuilder) -> None:
    """Facts and their values, one a row."""
    workbook = builder.spec
    sheet = builder.add_sheet(workbook.translate(workbook.document.layout.metadata_sheet))
    headers = [workbook.translate(labels.PROPERTY), workbook.translate(labels.VALUE)]
    write_table(
        builder,
        sheet,
        0,
        SmallTable(labels.ABOUT_TABLE, headers, list(_build_property_rows(workbook)), _WIDTHS, left_aligned=True),
    )
    sheet.freeze_panes(1, 0)
    for number, width in enumerate(_WIDTHS):
        sheet.set_column(number, number, width)


def _build_property_rows(spec: WorkbookSpec) -> Iterator[tuple[CellValue, ...]]:
    say, mapped, document = spec.translate, spec.mapped_rows, spec.document
    yield say(labels.ORGANISATION), spec.organisation_name
    yield say(labels.FIRST_DAY), spec.period[0]
    yield say(labels.LAST_DAY), spec.period[1]
    yield say(labels.LANGUAGE), say(labels.LANGUAGE_NAME)
    yield say(labels.MAPPING), document.title
    yield say(labels.MAPPING_VERSION), mapped.mapping.version
    yield say(labels.MAPPING_EFFECTIVE_FROM), document.effective_from
    yield say(labels.MAPPING_HASH), mapped.mapping.sha256
    yield say(labels.QUERIED), mapped.counts.queried
    yield say(labels.WRITTEN), mapped.counts.written
    yield say(labels.LONG_NUMBERS), say(labels.LONG_NUMBERS_NOTE)
