"""Compares two versions of a report, activity by activity, from the snapshots they were exported from."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import polars as pl
from sqlmodel import Session, select

from stafett.activity_frames import activities_from_arrow
from stafett.database.session import Database
from stafett.database.tables import Export, ExportStageOutput, ReportFileVersion
from stafett.domain.errors import StagedDataLostError
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import QueriedRows
from stafett.domain.export_status import ExportStatus
from stafett.domain.reexport import VersionChange, is_identical_output
from stafett.reports.snapshots import is_expired
from stafett.storage.files import FileStorage

_ID, _CONTENT_HASH = "id", "content"


class _RowChanges(NamedTuple):
    """Numbers of activities that were added, removed and changed; None if a snapshot is missing."""

    added: int | None
    removed: int | None
    changed: int | None


class VersionDifference(NamedTuple):
    """What a new file changes, and whether it has the rows, the mapping and the parameters of the version before."""

    change: VersionChange
    is_none: bool


class VersionComparison:
    """Compares versions with only an id and a hash per activity in memory, so that a million activities fit."""

    def __init__(self, database: Database, storage: FileStorage, *, raise_if_cancelled: Callable[[], None]) -> None:
        self._database = database
        self._storage = storage
        self._raise_if_cancelled = raise_if_cancelled

    def __call__(self, before: ReportFileVersion, after: Export) -> VersionDifference:
        """Return what the new file changes; the row counts are null if either snapshot has been removed."""
        with self._database.transaction(after.org_id) as session:
            exports = session.get_one(Export, before.export_id), after
            snapshots = [load_snapshot(session, export) for export in exports]
        rows = self._compare_snapshots(*snapshots)
        change = VersionChange(
            rows_added=rows.added,
            rows_removed=rows.removed,
            rows_changed=rows.changed,
            mapping_changed=before.mapping["sha256"] != (after.mapping or {}).get("sha256"),
            same_bytes=before.file["sha256"] == (after.file or {}).get("sha256"),
        )
        has_same_rows = rows == _NO_CHANGES and _has_same_context(*snapshots)
        is_none = has_same_rows and not change.mapping_changed and _has_same_parameters(*exports)
        return VersionDifference(change, is_none)

    def _compare_snapshots(self, before: QueriedRows | None, after: QueriedRows | None) -> _RowChanges:
        if before is None or after is None:
            return _RowChanges(None, None, None)
        if [part.sha256 for part in before.parts] == [part.sha256 for part in after.parts]:
            return _NO_CHANGES
        try:
            return _compare_frames(
                *(pl.concat(list(self._hash_rows(snapshot)) or [_NO_ROWS]) for snapshot in (before, after))
            )
        except StagedDataLostError:
            return _RowChanges(None, None, None)

    def _hash_rows(self, snapshot: QueriedRows) -> Iterator[pl.DataFrame]:
        for part in snapshot.parts:
            self._raise_if_cancelled()
            rows = activities_from_arrow(self._storage.read_part(part))
            yield pl.DataFrame({_ID: rows[_ID], _CONTENT_HASH: hash_activities(rows)})


_NO_CHANGES = _RowChanges(0, 0, 0)
_NO_ROWS = pl.DataFrame(schema={_ID: pl.String(), _CONTENT_HASH: pl.UInt64()})


def hash_activities(rows: pl.DataFrame) -> pl.Series:
    """Hash everything about each activity except its id."""
    return rows.select(sorted(set(rows.columns) - {_ID})).hash_rows(seed=0)


def _compare_frames(before: pl.DataFrame, after: pl.DataFrame) -> _RowChanges:
    both = before.join(after, on=_ID, how="inner", suffix="_after")
    return _RowChanges(
        added=after.height - both.height,
        removed=before.height - both.height,
        changed=both.filter(pl.col(_CONTENT_HASH) != pl.col(f"{_CONTENT_HASH}_after")).height,
    )


def _has_same_context(before: QueriedRows | None, after: QueriedRows | None) -> bool:
    """Return whether the attachments and the organisation's name, which are not part of the rows, are the same."""
    if before is None or after is None:
        return False
    hashes = [snapshot.attachments and snapshot.attachments.sha256 for snapshot in (before, after)]
    return hashes[0] == hashes[1] and before.organisation_name == after.organisation_name


def _has_same_parameters(before: Export, after: Export) -> bool:
    return is_identical_output(*(ExportParameters.model_validate(export.parameters) for export in (before, after)))


def load_snapshot(session: Session, export: Export) -> QueriedRows | None:
    """Load the references to the rows that a version was exported from, or None if they are no longer stored."""
    query = select(ExportStageOutput.outputs).where(  # the API may not read the other columns
        ExportStageOutput.export_id == export.id, ExportStageOutput.stage == ExportStatus.QUERYING_ACTIVITIES
    )
    outputs = None if is_expired(export) else session.exec(query).one_or_none()
    return None if outputs is None else QueriedRows.model_validate(outputs)
