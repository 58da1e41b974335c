"""Finds the rows that differ between two versions of a report: in their stored fields, or in their outcome."""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl
from sqlmodel import Session, select

from stafett.activity_frames import activities_from_arrow
from stafett.column_mapper.deviations import OUTCOME
from stafett.database.tables import Export, ExportPartialFailures, ExportStageOutput
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import Deviations, QueriedRows
from stafett.domain.export_status import ExportStatus
from stafett.reports.row_outcomes import RowOutcomes
from stafett.reports.snapshots import is_expired
from stafett.storage.files import FileStorage

ROW_BEFORE, ROW_AFTER, OUTCOME_DIFFERS = "row", "row_after", "outcome_differs"
_NO_KEYS = pl.DataFrame(
    schema={"id": pl.String(), "hash": pl.UInt64(), "starts_at": pl.Datetime("us", "UTC"), "row": pl.Int64()}
)
_NO_OUTCOME = pl.lit(None, pl.UInt64).alias(OUTCOME)


class ChangeCounts(NamedTuple):
    """Numbers of activities that only the later version has, that only the earlier one has, and that differ."""

    added: int
    removed: int
    changed: int

    @property
    def total(self) -> int:
        return sum(self)


class RowDifferences(NamedTuple):
    """The rows that differ, in report order: their index in each version, and whether their outcomes differ."""

    rows: pl.DataFrame

    @property
    def counts(self) -> ChangeCounts:
        added, removed = self.rows[ROW_BEFORE].null_count(), self.rows[ROW_AFTER].null_count()
        return ChangeCounts(added, removed, self.rows.height - added - removed)


class ComparedVersion(NamedTuple):
    """What is stored of a version: the rows that it was exported from, and which of them are not plain rows of it."""

    snapshot: QueriedRows
    deviations: Deviations
    parameters: ExportParameters


def load_compared_version(session: Session, export: Export) -> ComparedVersion | None:
    """Load the references to the rows of a version, or None if they are no longer stored."""
    snapshot = _load_snapshot(session, export)
    if snapshot is None:
        return None
    query = select(ExportPartialFailures.deviations).where(ExportPartialFailures.export_id == export.id)
    deviations = Deviations.model_validate(session.exec(query).one_or_none() or {})
    return ComparedVersion(snapshot, deviations, ExportParameters.model_validate(export.parameters))


def _load_snapshot(session: Session, export: Export) -> QueriedRows | None:
    query = select(ExportStageOutput.outputs).where(  # the API may not read the other columns
        ExportStageOutput.export_id == export.id, ExportStageOutput.stage == ExportStatus.QUERYING_ACTIVITIES
    )
    outputs = None if is_expired(export) else session.exec(query).one_or_none()
    return None if outputs is None else QueriedRows.model_validate(outputs)


class RowComparison:
    """Compares versions with an id and two hashes per activity in memory, so that a million activities fit."""

    def __init__(self, storage: FileStorage, *, raise_if_cancelled: Callable[[], None] = lambda: None) -> None:
        self._storage = storage
        self._raise_if_cancelled = raise_if_cancelled

    def find_differences(self, before: ComparedVersion, after: ComparedVersion) -> RowDifferences:
        """Find the rows that only one version has, and those with other fields or another outcome in the other."""
        snapshots, is_same_language = (before.snapshot, after.snapshot), _has_same_language(before, after)
        outcomes = [
            RowOutcomes(self._storage, version.deviations, includes_texts=is_same_language)
            for version in (before, after)
        ]
        is_same = _has_same_parts(*snapshots) and outcomes[0].fingerprint == outcomes[1].fingerprint
        keys, later_keys = (
            _NO_KEYS.with_columns(_NO_OUTCOME) if is_same else self._load_keys(*version)
            for version in zip(snapshots, outcomes, strict=True)
        )
        joined = keys.join(later_keys, on="id", how="full", coalesce=True, suffix="_after")
        outcome_differs = pl.col(OUTCOME).ne_missing(pl.col(f"{OUTCOME}_after")).alias(OUTCOME_DIFFERS)
        different = joined.filter(pl.col("hash").ne_missing(pl.col("hash_after")) | outcome_differs)
        in_order = different.sort(pl.coalesce("starts_at_after", "starts_at"), "id")
        return RowDifferences(in_order.select(ROW_BEFORE, ROW_AFTER, outcome_differs))

    def _load_keys(self, snapshot: QueriedRows, outcomes: RowOutcomes) -> pl.DataFrame:
        frames, first_row = [_NO_KEYS], 0
        for part in snapshot.parts:
            self._raise_if_cancelled()
            rows = activities_from_arrow(self._storage.read_part(part))
            numbers = pl.int_range(first_row, first_row + pl.len(), dtype=pl.Int64).alias("row")
            frames.append(rows.select("id", _hash_fields(rows).alias("hash"), "starts_at", numbers))
            first_row += part.rows
        return pl.concat(frames).join(outcomes.hash_rows(self._raise_if_cancelled), on="row", how="left")


def _hash_fields(rows: pl.DataFrame) -> pl.Series:
    """Hash everything about each activity except its id."""
    return rows.select(sorted(set(rows.columns) - {"id"})).hash_rows(seed=0)


def _has_same_language(before: ComparedVersion, after: ComparedVersion) -> bool:
    return before.parameters.locale == after.parameters.locale


def _has_same_parts(before: QueriedRows, after: QueriedRows) -> bool:
    return [part.sha256 for part in before.parts] == [part.sha256 for part in after.parts]
