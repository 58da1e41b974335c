"""A compiled mapping: what is done to each part of the rows, all of it on whole columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from stafett.column_mapper.scope import COUNTS, REASON

REASON_INDEX = "reason number"
TotalsByLabel = Mapping[str | None, Sequence[int]]


@dataclass(frozen=True)
class Layer:
    """Columns that are computed together, and those that nothing after them needs."""

    columns: tuple[pl.Expr, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class OutputColumn:
    """A column as it is written."""

    header: str
    expr: pl.Expr


@dataclass(frozen=True)
class RowCheck:
    """Something a row can be at fault in."""

    code: str
    column: str | None
    rejects_row: bool
    message: str
    expr: pl.Expr


@dataclass(frozen=True)
class FailedCheck:
    """A judgement that some rows did not pass, and which: numbers within their part."""

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


@dataclass(frozen=True)
class CompiledSummary:
    """Totals by what is written in one column."""

    column_index: int
    labels: tuple[str, ...]
    """Of everything that can be written in that column, in its order."""
    measures: tuple[pl.Expr, ...]


@dataclass(frozen=True)
class MappedPart:
    """A part with every row accounted for."""

    report_rows: pl.DataFrame
    excluded_rows: pl.DataFrame
    exclusion_reasons: pl.Series
    """The reason of each row that is listed apart."""
    failed_checks: tuple[FailedCheck, ...]
    rejected: int
    countable: int
    not_countable: Mapping[str, int]
    totals: TotalsByLabel


@dataclass(frozen=True)
class MappingProgram:
    """One document in one language, ready to be applied to any number of parts."""

    layers: tuple[Layer, ...]
    uses_day_windows: bool
    columns: tuple[OutputColumn, ...]
    checks: tuple[RowCheck, ...]
    reasons: tuple[CompiledReason, ...]
    excludes_not_countable: bool
    summary: CompiledSummary | None

    def apply(self, rows: pl.DataFrame) -> MappedPart:
        """Rows in report order, whole days of every mentor."""
        computed = self._compute_layers(rows)
        judged = self._run_checks(computed)
        faults = tuple(self._collect_failed_checks(judged))
        rejected = pl.Series([False]).new_from_index(0, rows.height) if not faults else self._find_rejected_rows(judged)
        lost = int(rejected.sum())
        if lost:  # what is said of a mentor's day is about the rows that are in the report
            computed = (
                self._compute_layers(rows.filter(~rejected)) if self.uses_day_windows else computed.filter(~rejected)
            )
        return self._build_part(computed, faults, lost)

    def _compute_layers(self, rows: pl.DataFrame) -> pl.DataFrame:
        for layer in self.layers:
            rows = rows.with_columns(layer.columns).drop(layer.dropped)
        return rows

    def _run_checks(self, computed: pl.DataFrame) -> pl.DataFrame:
        named = [judgement.expr.alias(f"fault {number}") for number, judgement in enumerate(self.checks)]
        return computed.with_columns(named).select(f"fault {number}" for number in range(len(named)))

    def _collect_failed_checks(self, results: pl.DataFrame) -> list[FailedCheck]:
        return [
            FailedCheck(
                number,
                judgement.code,
                judgement.column,
                judgement.rejects_row,
                judgement.message,
                found.arg_true().to_list(),
            )
            for number, judgement in enumerate(self.checks)
            if (found := results.to_series(number)).any()
        ]

    def _find_rejected_rows(self, results: pl.DataFrame) -> pl.Series:
        rejecting = [f"fault {number}" for number, judgement in enumerate(self.checks) if judgement.rejects_row]
        if not rejecting:
            return pl.Series([False]).new_from_index(0, results.height)
        return results.select(pl.any_horizontal(rejecting)).to_series()

    def _build_part(
        self, computed: pl.DataFrame, failed_checks: tuple[FailedCheck, ...], rejected_count: int
    ) -> MappedPart:
        places = [f"cell {number}" for number in range(len(self.columns))]
        whole = computed.with_columns(cell.expr.alias(place) for cell, place in zip(self.columns, places, strict=True))
        headed = {place: cell.header for place, cell in zip(places, self.columns, strict=True)}
        counts = whole[COUNTS]
        report = whole.select(places).rename(headed)
        return MappedPart(
            report_rows=report.filter(counts) if self.excludes_not_countable else report,
            excluded_rows=report.filter(~counts) if self.excludes_not_countable else report.clear(),
            exclusion_reasons=whole[REASON].filter(~counts) if self.excludes_not_countable else whole[REASON].clear(),
            failed_checks=failed_checks,
            rejected=rejected_count,
            countable=int(counts.sum()),
            not_countable=self._count_not_countable(whole),
            totals=self._compute_totals(whole),
        )

    def _count_not_countable(self, rows: pl.DataFrame) -> dict[str, int]:
        found = dict(rows[REASON_INDEX].drop_nulls().value_counts().iter_rows())
        return {reason.code: found.get(number, 0) for number, reason in enumerate(self.reasons)}

    def _compute_totals(self, rows: pl.DataFrame) -> TotalsByLabel:
        if self.summary is None:
            return {}
        grouped = rows.group_by(f"cell {self.summary.column_index}").agg(
            measure.alias(f"measure {number}") for number, measure in enumerate(self.summary.measures)
        )
        return {label: figures for label, *figures in grouped.iter_rows()}
