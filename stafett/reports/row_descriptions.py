"""Descriptions of the rows that differ between two versions: where each is, what differs, and the values of that."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import polars as pl

from stafett.activity_frames import OSLO_DAY, activities_from_arrow
from stafett.column_mapper.deviations import CODES, OUTCOME, ROW
from stafett.domain.export_outputs import DeviationOutcome, StagedPart
from stafett.exports.deviations import RowLocator
from stafett.reports.row_comparison import ComparedVersion
from stafett.reports.row_outcomes import load_outcomes
from stafett.storage.files import FileStorage

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
COUNTABLE = "countable"
"""The outcome of a row without deviations."""

_DURATION, _NOTE = "duration_minutes", "note"
_FIELDS = (
    "activity_type",
    "starts_at",
    _DURATION,
    "participants",
    "new_participants",
    "place",
    "in_person",
    "in_norway",
    _NOTE,
    "mentor_id",
    "mentor_name",
    "branch",
    "registered_by",
    "event_id",
    "attachments",
)
COMPARED_COLUMNS = (*_FIELDS, OUTCOME)
VALUE_COLUMNS = tuple(name for name in COMPARED_COLUMNS if name != _NOTE)
"""The columns with values in both versions. Notes have none: the API returns no note anywhere."""

_BEFORE, _AFTER = "before.", "after."
_UNCOUNTED = (DeviationOutcome.REJECTED.value, DeviationOutcome.NOT_COUNTABLE.value)


class ColumnChange(NamedTuple):
    """A column that differs, with its value in both versions."""

    name: str
    before: Any
    after: Any


def name_values(name: str) -> tuple[str, str]:
    """Return the names of the columns with the values that a column has in either version."""
    return f"{_BEFORE}{name}", f"{_AFTER}{name}"


def list_column_changes(row: Mapping[str, Any]) -> list[ColumnChange]:
    """List what differs in a described row; a row that is only in one version has none."""
    names = (row["columns"] or "").split()
    return [ColumnChange(name, *(row.get(each) for each in name_values(name))) for name in names]


class VersionRows:
    """The differing rows of a version by their index in its snapshot, of which one part is in memory."""

    def __init__(self, storage: FileStorage, version: ComparedVersion, indices: pl.Series) -> None:
        self._storage = storage
        self._version = version
        self._indices = indices.drop_nulls()
        self._part: StagedPart | None = None
        self._rows = pl.DataFrame()

    def load(self, indices: pl.Series) -> pl.DataFrame:
        """Load one row for each index, with its place in the file and its outcome; all is null for a missing index."""
        indices = indices.alias("index")
        present, frames, first_row = indices.drop_nulls().sort(), [self._empty], 0
        for part in self._version.snapshot.parts:
            in_part = present.filter(present.is_between(first_row, first_row + part.rows - 1))
            if in_part.len():
                frames.append(self._read(part)[in_part - first_row].with_columns(in_part))
            first_row += part.rows
        rows = pl.concat(frames)
        described = rows.hstack(self._locator.locate(rows["index"])).join(
            self._outcomes, left_on="index", right_on=ROW, how="left", maintain_order="left"
        )
        described = described.with_columns(
            (pl.col("ends_at") - pl.col("starts_at")).dt.total_minutes().alias(_DURATION),
            pl.col(OUTCOME).is_in(_UNCOUNTED).fill_null(value=False).not_().alias("counted"),
            pl.concat_str(pl.col(OUTCOME).fill_null(COUNTABLE), CODES, separator=" ", ignore_nulls=True).alias(OUTCOME),
        )
        return indices.to_frame().join(described, on="index", how="left", maintain_order="left")

    @cached_property
    def _locator(self) -> RowLocator:
        return RowLocator(self._storage, self._version.deviations)

    @cached_property
    def _outcomes(self) -> pl.DataFrame:
        return load_outcomes(self._storage, self._version.deviations, self._indices)

    @cached_property
    def _empty(self) -> pl.DataFrame:
        """No rows, with the columns that a part has."""
        rows = self._read(self._version.snapshot.parts[0]) if self._version.snapshot.parts else pl.DataFrame()
        return rows.clear().with_columns(pl.Series("index", [], pl.Int64))

    def _read(self, part: StagedPart) -> pl.DataFrame:
        if part != self._part:
            self._part, self._rows = part, activities_from_arrow(self._storage.read_part(part))
        return self._rows


def describe_changes(before: pl.DataFrame, after: pl.DataFrame, outcome_differs: pl.Series) -> pl.DataFrame:
    """Describe each row from its two states, one of which is null if the row was added or removed."""
    states = before.hstack(after.rename(lambda name: f"{name}_after")).with_columns(outcome_differs)
    is_added, is_removed = pl.col("index").is_null(), pl.col("index_after").is_null()
    differing = {name: pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in _FIELDS}
    differing |= {OUTCOME: pl.col(outcome_differs.name)}
    changed_columns = pl.concat_str(
        [pl.when(condition).then(pl.lit(name)) for name, condition in differing.items()],
        separator=" ",
        ignore_nulls=True,
    )
    change = pl.when(is_added).then(pl.lit(ADDED)).when(is_removed).then(pl.lit(REMOVED)).otherwise(pl.lit(CHANGED))
    facts = {"date": OSLO_DAY, "mentor": "mentor_name", "place": "place", "activity_id": "id"}
    values = {
        value_name: source
        for name in VALUE_COLUMNS
        for value_name, source in zip(name_values(name), (name, f"{name}_after"), strict=True)
    }
    return states.select(
        change.alias("change"),
        *(
            pl.when(is_removed).then(pl.col(source)).otherwise(pl.col(f"{source}_after")).alias(name)
            for name, source in facts.items()
        ),
        pl.col("sheet").alias("sheet_before"),
        pl.col("sheet_row").alias("row_before"),
        pl.col("sheet_after"),
        pl.col("sheet_row_after").alias("row_after"),
        pl.col("counted").alias("counted_before"),
        pl.col("counted_after"),
        pl.when(~is_added & ~is_removed).then(changed_columns).alias("columns"),
        **{value_name: pl.col(source) for value_name, source in values.items()},
    )
