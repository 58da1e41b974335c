"""The sheet about the report: by which rules it was made, and from what. Nothing here changes from run to run."""

from collections.abc import Iterator

from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import Edition, Workbook
from stafett.file_generator.xlsx.tables import Entry, SmallTable, put_table

_WIDTHS = (34, 72)


def add_about(edition: Edition) -> None:
    """Facts and their values, one a row."""
    workbook = edition.workbook
    sheet = edition.add_sheet(workbook.say(workbook.document.layout.metadata_sheet))
    headers = [workbook.say(labels.FACT), workbook.say(labels.VALUE)]
    put_table(edition, sheet, 0, SmallTable(labels.ABOUT_TABLE, headers, list(_facts(workbook)), _WIDTHS, is_left=True))
    sheet.freeze_panes(1, 0)
    for number, width in enumerate(_WIDTHS):
        sheet.set_column(number, number, width)


def _facts(workbook: Workbook) -> Iterator[tuple[Entry, ...]]:
    say, mapped, document = workbook.say, workbook.mapped, workbook.document
    yield say(labels.ORGANISATION), workbook.organisation
    yield say(labels.FIRST_DAY), workbook.period[0]
    yield say(labels.LAST_DAY), workbook.period[1]
    yield say(labels.LANGUAGE), say(labels.LANGUAGE_NAME)
    yield say(labels.MAPPING), document.title
    yield say(labels.MAPPING_VERSION), mapped.mapping.version
    yield say(labels.MAPPING_FROM), document.effective_from
    yield say(labels.MAPPING_HASH), mapped.mapping.sha256
    yield say(labels.QUERIED), mapped.counts.queried
    yield say(labels.WRITTEN), mapped.counts.written
    yield say(labels.LONG_NUMBERS), say(labels.LONG_NUMBERS_ARE_TEXT)
