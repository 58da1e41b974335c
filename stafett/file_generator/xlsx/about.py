"""The sheet about the report: by which rules it was made, and from what. Nothing here changes from run to run."""

from collections.abc import Iterator

from stafett.file_generator.xlsx import words
from stafett.file_generator.xlsx.edition import Edition, Workbook
from stafett.file_generator.xlsx.tables import Entry, SmallTable, put_table

_WIDTHS = (34, 72)


def add_about(edition: Edition) -> None:
    """Facts and their values, one a row."""
    workbook = edition.workbook
    sheet = edition.add_sheet(workbook.say(workbook.document.layout.metadata_sheet))
    headers = [workbook.say(words.FACT), workbook.say(words.VALUE)]
    put_table(edition, sheet, 0, SmallTable(words.ABOUT_TABLE, headers, list(_facts(workbook)), _WIDTHS, is_left=True))
    sheet.freeze_panes(1, 0)
    for number, width in enumerate(_WIDTHS):
        sheet.set_column(number, number, width)


def _facts(workbook: Workbook) -> Iterator[tuple[Entry, ...]]:
    say, mapped, document = workbook.say, workbook.mapped, workbook.document
    yield say(words.ORGANISATION), workbook.organisation
    yield say(words.FIRST_DAY), workbook.period[0]
    yield say(words.LAST_DAY), workbook.period[1]
    yield say(words.LANGUAGE), say(words.LANGUAGE_NAME)
    yield say(words.MAPPING), document.title
    yield say(words.MAPPING_VERSION), mapped.mapping.version
    yield say(words.MAPPING_FROM), document.effective_from
    yield say(words.MAPPING_HASH), mapped.mapping.sha256
    yield say(words.QUERIED), mapped.counts.queried
    yield say(words.WRITTEN), mapped.counts.written
    yield say(words.LONG_NUMBERS), say(words.LONG_NUMBERS_ARE_TEXT)
