"""A compiled mapping: what is done to each part of the rows, all of it on whole columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from stafett.column_mapper.scope import COUNTS, REASON

REASON_NUMBER = "reason number"
Totals = Mapping[str | None, Sequence[int]]


@dataclass(frozen=True)
class Layer:
    """Columns that are computed together, and those that nothing after them needs."""

    columns: tuple[pl.Expr, ...]
    forgotten: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A column as it is written."""

    header: str
    expr: pl.Expr


@dataclass(frozen=True)
class Judgement:
    """Something a row can be at fault in."""

    code: str
    column: str | None
    rejects: bool
    message: str
    expr: pl.Expr


@dataclass(frozen=True)
class Fault:
    """A judgement that some rows did not pass, and which: numbers within their part."""

    judgement: int
    code: str
    column: str | None
    rejects: bool
    message: str
    rows: Sequence[int]


@dataclass(frozen=True)
class Reason:
    code: str
    label: str


@dataclass(frozen=True)
class Summary:
    """Totals by what is written in one column."""

    by: int
    labels: tuple[str, ...]
    """Of everything that can be written in that column, in its order."""
    measures: tuple[pl.Expr, ...]


@dataclass(frozen=True)
class MappedPart:
    """A part with every row accounted for."""

    written: pl.DataFrame
    apart: pl.DataFrame
    apart_because: pl.Series
    """The reason of each row that is listed apart."""
    faults: tuple[Fault, ...]
    rejected: int
    countable: int
    not_countable: Mapping[str, int]
    totals: Totals


@dataclass(frozen=True)
class MappingProgram:
    """One document in one language, ready to be applied to any number of parts."""

    layers: tuple[Layer, ...]
    looks_at_days: bool
    cells: tuple[Cell, ...]
    judgements: tuple[Judgement, ...]
    reasons: tuple[Reason, ...]
    lists_apart: bool
    summary: Summary | None

    def apply(self, rows: pl.DataFrame) -> MappedPart:
        """Rows in report order, whole days of every mentor."""
        computed = self._computed(rows)
        judged = self._judged(computed)
        faults = tuple(self._faults(judged))
        rejected = pl.Series([False]).new_from_index(0, rows.height) if not faults else self._rejected(judged)
        lost = int(rejected.sum())
        if lost:  # what is said of a mentor's day is about the rows that are in the report
            computed = self._computed(rows.filter(~rejected)) if self.looks_at_days else computed.filter(~rejected)
        return self._written(computed, faults, lost)

    def _computed(self, rows: pl.DataFrame) -> pl.DataFrame:
        for layer in self.layers:
            rows = rows.with_columns(layer.columns).drop(layer.forgotten)
        return rows

    def _judged(self, computed: pl.DataFrame) -> pl.DataFrame:
        named = [judgement.expr.alias(f"fault {number}") for number, judgement in enumerate(self.judgements)]
        return computed.with_columns(named).select(f"fault {number}" for number in range(len(named)))

    def _faults(self, judged: pl.DataFrame) -> list[Fault]:
        return [
            Fault(
                number,
                judgement.code,
                judgement.column,
                judgement.rejects,
                judgement.message,
                found.arg_true().to_list(),
            )
            for number, judgement in enumerate(self.judgements)
            if (found := judged.to_series(number)).any()
        ]

    def _rejected(self, judged: pl.DataFrame) -> pl.Series:
        rejecting = [f"fault {number}" for number, judgement in enumerate(self.judgements) if judgement.rejects]
        if not rejecting:
            return pl.Series([False]).new_from_index(0, judged.height)
        return judged.select(pl.any_horizontal(rejecting)).to_series()

    def _written(self, computed: pl.DataFrame, faults: tuple[Fault, ...], lost: int) -> MappedPart:
        places = [f"cell {number}" for number in range(len(self.cells))]
        whole = computed.with_columns(cell.expr.alias(place) for cell, place in zip(self.cells, places, strict=True))
        headed = {place: cell.header for place, cell in zip(places, self.cells, strict=True)}
        counts = whole[COUNTS]
        report = whole.select(places).rename(headed)
        return MappedPart(
            written=report.filter(counts) if self.lists_apart else report,
            apart=report.filter(~counts) if self.lists_apart else report.clear(),
            apart_because=whole[REASON].filter(~counts) if self.lists_apart else whole[REASON].clear(),
            faults=faults,
            rejected=lost,
            countable=int(counts.sum()),
            not_countable=self._not_countable(whole),
            totals=self._totals(whole),
        )

    def _not_countable(self, whole: pl.DataFrame) -> dict[str, int]:
        found = dict(whole[REASON_NUMBER].drop_nulls().value_counts().iter_rows())
        return {reason.code: found.get(number, 0) for number, reason in enumerate(self.reasons)}

    def _totals(self, whole: pl.DataFrame) -> Totals:
        if self.summary is None:
            return {}
        grouped = whole.group_by(f"cell {self.summary.by}").agg(
            measure.alias(f"measure {number}") for number, measure in enumerate(self.summary.measures)
        )
        return {label: figures for label, *figures in grouped.iter_rows()}
