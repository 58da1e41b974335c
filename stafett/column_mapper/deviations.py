"""The deviating rows of a report: rejected, not countable, or with a warning; one row each, with all of its causes."""

from collections.abc import Container, Iterator, Mapping

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.program import MappedPart, MappingProgram
from stafett.domain.export_outputs import DeviationCause, DeviationOutcome

ROW, WRITTEN_ROW, EXCLUDED_ROW = "row", "written_row", "excluded_row"
"""Indices of a deviating row: in query order, in the report, and among the rows listed separately."""

OUTCOME, CAUSES, CODES = "outcome", "causes", "codes"
_MAX_TEXT_LENGTH = 500


def find_deviations(
    program: MappingProgram, rows: pl.DataFrame, part: MappedPart, ignored_checks: Container[str] = ()
) -> pl.DataFrame:
    """Select the deviating rows of a mapped slice in report order, with the numbers of their causes."""
    numbered = _number_rows(program, part)
    causes = [_list_reasons(program, numbered)]
    for failed in part.failed_checks:
        if failed.code not in ignored_checks:
            indices = pl.Series(ROW, failed.row_indices, dtype=pl.UInt32)
            causes.append(indices.to_frame().with_columns(pl.lit(failed.check_index, pl.UInt32).alias(CAUSES)))
    causes_by_row = pl.concat(causes).group_by(ROW).agg(pl.col(CAUSES).sort()).sort(ROW)
    deviations = numbered.join(causes_by_row, on=ROW, maintain_order="left")
    return deviations.drop("reason").hstack(select_facts(rows[deviations[ROW]]))


def select_facts(rows: pl.DataFrame) -> pl.DataFrame:
    """Select what identifies an activity for a person."""
    return rows.select(
        pl.col(OSLO_DAY).alias("date"),
        pl.col("id").alias("activity_id"),
        pl.col("mentor_name").str.head(_MAX_TEXT_LENGTH).alias("mentor"),
        pl.col("place").str.head(_MAX_TEXT_LENGTH),
        "registered_by",
    )


def list_causes(
    program: MappingProgram, failed_checks: Container[int], rows_by_reason: Mapping[str, int]
) -> Iterator[DeviationCause]:
    """List the failed checks, then the reasons that apply; reasons are numbered after the checks."""
    for number, check in enumerate(program.checks):
        if number in failed_checks:
            yield DeviationCause(number=number, code=check.code, message=check.message, repair=check.repair)
    for number, reason in enumerate(program.reasons, start=len(program.checks)):
        if rows_by_reason.get(reason.code):
            yield DeviationCause(number=number, code=reason.code, message=reason.label, repair=reason.repair)


def _number_rows(program: MappingProgram, part: MappedPart) -> pl.DataFrame:
    """Return every row with its reason, its outcome if it has a cause, and its index where it is listed."""
    is_rejected = part.rejected_rows.alias("is_rejected")
    remaining = pl.DataFrame({ROW: (~is_rejected).arg_true(), "reason": part.reason_indices})
    rows = is_rejected.to_frame().with_row_index(ROW).join(remaining, on=ROW, how="left", maintain_order="left")
    is_excluded = ~pl.col("is_rejected") & pl.col("reason").is_not_null() & program.excludes_not_countable
    is_written = ~pl.col("is_rejected") & ~is_excluded
    return rows.select(
        ROW,
        "reason",
        _index_where(is_written).alias(WRITTEN_ROW),
        _index_where(is_excluded).alias(EXCLUDED_ROW),
        pl.when("is_rejected")
        .then(pl.lit(DeviationOutcome.REJECTED.value))
        .when(pl.col("reason").is_not_null())
        .then(pl.lit(DeviationOutcome.NOT_COUNTABLE.value))
        .otherwise(pl.lit(DeviationOutcome.WARNING.value))
        .alias(OUTCOME),
    )


def _index_where(condition: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(condition.cast(pl.Int64).cum_sum() - 1)


def _list_reasons(program: MappingProgram, numbered: pl.DataFrame) -> pl.DataFrame:
    reason = (pl.col("reason").cast(pl.UInt32) + len(program.checks)).alias(CAUSES)
    return numbered.filter(pl.col("reason").is_not_null()).select(ROW, reason)
