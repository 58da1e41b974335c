"""Compiled mappings: Polars programs that map the parts of a report column by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.scope import COUNTS, EVENT_ID, REASON
from stafett.column_mapper.size_bounds import CELL, MAX_ROW_BYTES, SizeBound

REASON_INDEX, IS_TOO_LARGE = "reason index", "is too large"
_FREE_TEXTS = ("place", "note", "mentor_name", "branch")
VERDICT_COLUMNS = (OSLO_DAY, "activity_type", EVENT_ID, COUNTS)
"""Day, type and event of an activity, and whether it counts."""

TotalsByLabel = Mapping[str | None, Sequence[int]]


@dataclass(frozen=True)
class Layer:
    """Columns that are computed together, and the columns that are dropped because no later layer uses them."""

    columns: tuple[pl.Expr, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class OutputColumn:
    """A column of the report."""

    header: str
    expr: pl.Expr


@dataclass(frozen=True)
class RowCheck:
    """A check on rows; ``expr`` is true for the rows that fail."""

    code: str
    column: str | None
    rejects_row: bool
    message: str
    expr: pl.Expr
    memory: SizeBound = CELL
    """Upper bound on the memory that the check takes for each row."""
    repair: str = ""
    """How to repair a row that fails."""


@dataclass(frozen=True)
class FailedCheck:
    """A check that some rows failed, with the indices of those rows in their part."""

    check_index: int
    code: str
    column: str | None
    rejects_row: bool
    message: str
    row_indices: Sequence[int]


@dataclass(frozen=True)
class CompiledReason:
    code: str
    label: str
    repair: str


@dataclass(frozen=True)
class CompiledSummary:
    """Totals for each value that is written in one column."""

    column_index: int
    labels: tuple[str, ...]
    """The values that the document lists for that column, in its order."""
    other_label: str
    """The line of all other values, which a choice column with unknown codes can have."""
    measures: tuple[pl.Expr, ...]


@dataclass(frozen=True)
class MappedPart:
    """A mapped part; every row is in the report, excluded or rejected."""

    report_rows: pl.DataFrame
    excluded_rows: pl.DataFrame
    exclusion_reasons: pl.Series
    """The reason of each excluded row."""
    failed_checks: tuple[FailedCheck, ...]
    rejected_rows: pl.Series
    """Whether each row is rejected."""
    reason_indices: pl.Series
    """For each row that is not rejected, the reason why it does not count; null for a row that counts."""
    totals: TotalsByLabel
    not_countable: Mapping[str, int]
    verdicts: pl.DataFrame
    """The columns ``VERDICT_COLUMNS`` of all rows that are not rejected."""

    @property
    def rejected(self) -> int:
        return int(self.rejected_rows.sum())

    @property
    def countable(self) -> int:
        return self.reason_indices.null_count()


@dataclass(frozen=True)
class MappingProgram:
    """A document compiled for one language, which can be applied to any number of parts."""

    layers: tuple[Layer, ...]
    window_columns: frozenset[str]
    """The intermediate columns that depend on other rows of the same day."""
    row_memory: SizeBound
    columns: tuple[OutputColumn, ...]
    checks: tuple[RowCheck, ...]
    reasons: tuple[CompiledReason, ...]
    excludes_not_countable: bool
    summary: CompiledSummary | None

    def apply(self, rows: pl.DataFrame) -> MappedPart:
        """Map a part. Its rows must be in report order and hold whole days of every mentor."""
        rows = self.mark_too_large_rows(rows)
        computed = self.compute_layers(rows)
        failed_checks, rejected = self.run_checks(computed)
        has_rejected = bool(rejected.any())
        if has_rejected and self.window_columns:  # a day window covers only the rows that are in the report
            del computed
            computed = self.compute_layers(rows.filter(~rejected))
        elif has_rejected:
            computed = computed.filter(~rejected)
        return self.build_part(computed, failed_checks, rejected)

    def mark_too_large_rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Mark the rows that no slice has room for, and remove their texts: one of their checks rejects them."""
        marked = rows.with_columns((self.row_memory.to_expr() > MAX_ROW_BYTES).alias(IS_TOO_LARGE))
        if not marked[IS_TOO_LARGE].any():
            return marked
        return marked.with_columns(pl.when(~pl.col(IS_TOO_LARGE)).then(pl.col(_FREE_TEXTS)))

    def compute_layers(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Compute the intermediate columns, except those that are in ``rows`` already."""
        known = self.window_columns.intersection(rows.columns)
        for layer in self.layers:
            missing = [expr for expr in layer.columns if not known or expr.meta.output_name() not in known]
            rows = rows.with_columns(missing).drop(layer.dropped)
        return rows

    def run_checks(self, computed: pl.DataFrame) -> tuple[tuple[FailedCheck, ...], pl.Series]:
        """Return the failed checks, and for each row whether one of them rejects it."""
        results = self._evaluate_checks(computed)
        failed_checks = tuple(self._collect_failed_checks(results))
        if failed_checks:
            return failed_checks, self._find_rejected_rows(results)
        return (), pl.Series([False]).new_from_index(0, computed.height)

    def _evaluate_checks(self, computed: pl.DataFrame) -> pl.DataFrame:
        exprs = [check.expr for check in self.checks]
        if computed[IS_TOO_LARGE].any():  # whose texts were removed, so that no other check applies
            exprs[:-1] = [expr & ~pl.col(IS_TOO_LARGE) for expr in exprs[:-1]]
        results = [expr.alias(f"check {index}") for index, expr in enumerate(exprs)]
        return computed.with_columns(results).select(f"check {index}" for index in range(len(results)))

    def _collect_failed_checks(self, results: pl.DataFrame) -> list[FailedCheck]:
        return [
            FailedCheck(
                index,
                check.code,
                check.column,
                check.rejects_row,
                check.message,
                is_failed.arg_true().to_list(),
            )
            for index, check in enumerate(self.checks)
            if (is_failed := results.to_series(index)).any()
        ]

    def _find_rejected_rows(self, results: pl.DataFrame) -> pl.Series:
        rejecting = [f"check {index}" for index, check in enumerate(self.checks) if check.rejects_row]
        return results.select(pl.any_horizontal(rejecting)).to_series()

    def build_part(
        self, computed: pl.DataFrame, failed_checks: tuple[FailedCheck, ...], rejected_rows: pl.Series
    ) -> MappedPart:
        """Map the rows that are not rejected."""
        names = [f"cell {index}" for index in range(len(self.columns))]
        rows = computed.with_columns(column.expr.alias(name) for name, column in zip(names, self.columns, strict=True))
        headers = {name: column.header for name, column in zip(names, self.columns, strict=True)}
        counts = rows[COUNTS]
        report = rows.select(names).rename(headers)
        return MappedPart(
            report_rows=report.filter(counts) if self.excludes_not_countable else report,
            excluded_rows=report.filter(~counts) if self.excludes_not_countable else report.clear(),
            exclusion_reasons=rows[REASON].filter(~counts) if self.excludes_not_countable else rows[REASON].clear(),
            failed_checks=failed_checks,
            rejected_rows=rejected_rows,
            reason_indices=rows[REASON_INDEX],
            not_countable=self._count_not_countable(rows),
            totals=self._compute_totals(rows),
            verdicts=rows.select(VERDICT_COLUMNS),
        )

    def _count_not_countable(self, rows: pl.DataFrame) -> dict[str, int]:
        counts_by_index = dict(rows[REASON_INDEX].drop_nulls().value_counts().iter_rows())
        return {reason.code: counts_by_index.get(index, 0) for index, reason in enumerate(self.reasons)}

    def _compute_totals(self, rows: pl.DataFrame) -> TotalsByLabel:
        if self.summary is None:
            return {}
        cell = pl.col(f"cell {self.summary.column_index}")
        label = (
            pl.when(cell.is_null() | cell.is_in(self.summary.labels))
            .then(cell)
            .otherwise(pl.lit(self.summary.other_label))
        )
        grouped = rows.group_by(label).agg(
            measure.alias(f"measure {index}") for index, measure in enumerate(self.summary.measures)
        )
        return {label: figures for label, *figures in grouped.iter_rows()}
