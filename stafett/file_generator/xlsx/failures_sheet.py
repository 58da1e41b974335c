"""The sheet of partial failures: what was wrong, how often, and the first activities affected."""

from collections.abc import Iterator, Sequence

from stafett.domain.export import PartialFailureReport
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import WorkbookBuilder, WorkbookSpec
from stafett.file_generator.xlsx.tables import CellValue, SmallTable, write_table

_MAX_LISTED = 5
_WIDTHS = (60, 24, 30, 12, 10, 24, 44)


def add_failures_sheet(builder: WorkbookBuilder) -> None:
    """Add one line per failure. Its row numbers count registered activities, not sheet rows; a note explains this."""
    spec = builder.spec
    failures = (*spec.mapped_rows.partial_failures, *builder.truncated.to_partial_failures(spec.locale))
    sheet = builder.add_sheet(spec.translate(spec.document.layout.partial_failures_sheet))
    sheet.write_string(0, 0, spec.translate(labels.ROW_NUMBERS_NOTE))
    lines = [tuple(_build_row(spec, failure)) for failure in failures] or [(spec.translate(labels.NO_FAILURES),)]
    write_table(builder, sheet, 1, SmallTable(labels.FAILURES_TABLE, _build_headers(spec), lines, _WIDTHS))
    sheet.freeze_panes(2, 0)
    sheet.repeat_rows(1)
    for number, width in enumerate(_WIDTHS):
        sheet.set_column(number, number, width)


def _build_headers(spec: WorkbookSpec) -> list[str]:
    texts = (
        labels.FAILURE_REASON,
        labels.COLUMN,
        labels.CODE,
        labels.FAILURE_OUTCOME,
        labels.COUNT,
        labels.FIRST_ROW_NUMBERS,
        labels.FIRST_ACTIVITY_IDS,
    )
    return [spec.translate(text) for text in texts]


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
