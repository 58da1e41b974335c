"""The sheet of partial failures: why activities are rejected or have a warning, how many, and the first of them."""

from collections.abc import Iterator, Sequence

from stafett.domain.export import PartialFailureReport
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import WorkbookBuilder, WorkbookSpec
from stafett.file_generator.xlsx.page_setup import ColumnSetup, set_up_columns
from stafett.file_generator.xlsx.row_sheets import RowTable
from stafett.file_generator.xlsx.tables import CellValue, SmallTable, write_table

_MAX_LISTED = 5
_COLUMNS = (
    (labels.FAILURE_REASON, ColumnSetup(60)),
    (labels.COLUMN, ColumnSetup(24)),
    (labels.CODE, ColumnSetup(30, is_hidden=True)),
    (labels.FAILURE_OUTCOME, ColumnSetup(12)),
    (labels.COUNT, ColumnSetup(10)),
    (labels.FIRST_ROW_NUMBERS, ColumnSetup(24)),
    (labels.FIRST_ACTIVITY_IDS, ColumnSetup(44, is_hidden=True)),
)


def add_failures_sheet(builder: WorkbookBuilder, deviations: RowTable | None) -> None:
    """Add one line per failure, below notes on what the lines are and where each activity is.

    Its row numbers count registered activities, not sheet rows.
    """
    spec = builder.spec
    failures = (*spec.mapped_rows.partial_failures, *builder.truncated.to_partial_failures(spec.locale))
    sheet = builder.add_sheet(spec.translate(spec.document.layout.partial_failures_sheet))
    sheet.write_string(0, 0, spec.title, builder.formats.title)
    notes = [spec.translate(labels.REASONS_NOTE)]
    if failures:
        notes.append(spec.translate(labels.ROW_NUMBERS_NOTE))
    if deviations:
        note = spec.translate(labels.BY_ROW_NOTE)
        notes.append(note.format(sheet=deviations.sheet_name, count=deviations.row_count))
    for number, note in enumerate(notes, start=1):
        sheet.write_string(number, 0, note)
    header_row = 1 + len(notes)
    lines = [tuple(_build_row(spec, failure)) for failure in failures] or [(spec.translate(labels.NO_FAILURES),)]
    headers = [spec.translate(header) for header, _ in _COLUMNS]
    columns = [column for _, column in _COLUMNS]
    write_table(builder, sheet, header_row, SmallTable(labels.FAILURES_TABLE, headers, lines, columns))
    sheet.freeze_panes(header_row + 1, 0)
    sheet.repeat_rows(header_row)
    set_up_columns(sheet, columns)


def _build_row(spec: WorkbookSpec, failure: PartialFailureReport) -> Iterator[CellValue]:
    headers = {column.id: column.header for column in spec.document.columns}
    header = headers.get(failure.column or "")
    yield failure.failure_reason
    yield spec.translate(header) if header else failure.column or ""
    yield failure.code
    yield spec.translate(labels.OUTCOME_REJECTED if failure.is_fatal else labels.OUTCOME_WARNING)
    yield failure.affected_count
    yield _format_first([index + 1 for index in failure.affected_row_indices], failure.affected_count)
    yield _format_first(failure.affected_activity_ids, failure.affected_count)


def _format_first(values: Sequence[object], total: int) -> str:
    shown = ", ".join(str(value) for value in values[:_MAX_LISTED])
    return f"{shown} …" if shown and total > _MAX_LISTED else shown
