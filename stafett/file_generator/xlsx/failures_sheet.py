"""The sheet of partial failures: what was wrong, how often, and where to begin mending."""

from collections.abc import Iterator, Sequence

from stafett.domain.export import PartialFailureReport
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import Edition, Workbook
from stafett.file_generator.xlsx.tables import Entry, SmallTable, put_table

_FIRST = 5
_WIDTHS = (60, 24, 30, 12, 10, 24, 44)


def add_deviations(edition: Edition) -> None:
    """A line each; rows are counted as they were registered, which no sheet shows, so that is explained above."""
    workbook = edition.workbook
    failures = (*workbook.mapped.partial_failures, *edition.cut.partial_failures(workbook.locale))
    sheet = edition.add_sheet(workbook.say(workbook.document.layout.partial_failures_sheet))
    sheet.write_string(0, 0, workbook.say(labels.NUMBERS_EXPLAINED))
    lines = [tuple(_line(workbook, failure)) for failure in failures] or [(workbook.say(labels.NO_FAILURES),)]
    put_table(edition, sheet, 1, SmallTable(labels.FAILURES_TABLE, _headers(workbook), lines, _WIDTHS))
    sheet.freeze_panes(2, 0)
    sheet.repeat_rows(1)
    for number, width in enumerate(_WIDTHS):
        sheet.set_column(number, number, width)


def _headers(workbook: Workbook) -> list[str]:
    named = (
        labels.WHAT,
        labels.COLUMN,
        labels.CODE,
        labels.OUTCOME,
        labels.COUNT,
        labels.FIRST_NUMBERS,
        labels.FIRST_IDS,
    )
    return [workbook.say(one) for one in named]


def _line(workbook: Workbook, failure: PartialFailureReport) -> Iterator[Entry]:
    headers = {column.id: column.header for column in workbook.document.columns}
    header = headers.get(failure.column or "")
    yield failure.failure_reason
    yield workbook.say(header) if header else failure.column or ""
    yield failure.code
    yield workbook.say(labels.IS_REJECTED if failure.is_fatal else labels.IS_WARNED)
    yield failure.affected_count
    yield _first([index + 1 for index in failure.affected_row_indices], failure.affected_count)
    yield _first(failure.affected_activity_ids, failure.affected_count)


def _first(found: Sequence[object], of: int) -> str:
    shown = ", ".join(str(one) for one in found[:_FIRST])
    return f"{shown} …" if shown and of > _FIRST else shown
