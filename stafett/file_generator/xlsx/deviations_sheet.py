"""The sheet with one row for each activity that is rejected, does not count or has a warning."""

from collections.abc import Iterable, Iterator

import polars as pl

from stafett.domain.export_outputs import DeviationOutcome
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import TEXT_FORMAT, WorkbookBuilder, WorkbookSpec
from stafett.file_generator.xlsx.columns import SheetColumn, get_date_format
from stafett.file_generator.xlsx.row_sheets import RowTable

_OUTCOMES = {
    DeviationOutcome.REJECTED: labels.OUTCOME_REJECTED,
    DeviationOutcome.NOT_COUNTABLE: labels.OUTCOME_NOT_COUNTABLE,
    DeviationOutcome.WARNING: labels.OUTCOME_WARNING,
}
_COLUMNS = {
    "date": (labels.DATE, 12.0, ""),
    "mentor": (labels.PEER_MENTOR, 24.0, TEXT_FORMAT),
    "place": (labels.PLACE, 20.0, TEXT_FORMAT),
    "sheet": (labels.SHEET, 20.0, TEXT_FORMAT),
    "row": (labels.SHEET_ROW, 9.0, "0"),
    "outcome": (labels.FAILURE_OUTCOME, 14.0, TEXT_FORMAT),
    "problem": (labels.PROBLEM, 48.0, TEXT_FORMAT),
    "repair": (labels.REPAIR, 48.0, TEXT_FORMAT),
    "activity_id": (labels.ACTIVITY_ID, 38.0, TEXT_FORMAT),
}
"""The header, width and number format of each column of the deviations."""


def build_deviations_table(builder: WorkbookBuilder) -> RowTable:
    spec = builder.spec
    columns = (
        SheetColumn(
            spec.translate(header),
            width,
            number_format or get_date_format(spec.locale),
            wraps=number_format == TEXT_FORMAT,
            is_hidden=name == "activity_id",
        )
        for name, (header, width, number_format) in _COLUMNS.items()
    )
    return RowTable(
        sheet_name=builder.allocate_sheet_name(spec.translate(labels.DEVIATIONS_SHEET), 1),
        name=labels.DEVIATIONS_TABLE,
        columns=tuple(columns),
        row_count=spec.mapped_rows.deviations.rows,
        start_cell="A2",
        title_rows=(spec.title,),
    )


def to_sheet_rows(spec: WorkbookSpec, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Select the sheet's columns, with the outcome in the report's language."""
    outcomes = {str(outcome): spec.translate(label) for outcome, label in _OUTCOMES.items()}
    for frame in frames:
        yield frame.select(*_COLUMNS).with_columns(pl.col("outcome").replace_strict(outcomes))
