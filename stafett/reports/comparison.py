"""Compares two versions of a report, activity by activity, from the snapshots they were exported from."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import polars as pl
from sqlmodel import Session

from stafett.activity_frames import frame_from_arrow
from stafett.database.session import Database
from stafett.database.tables import Export, ExportStageOutput, ReportFileVersion
from stafett.domain.errors import StagedDataLostError
from stafett.domain.export_outputs import QueriedRows
from stafett.domain.export_status import ExportStatus
from stafett.domain.reexport import VersionChange
from stafett.reports.snapshots import is_expired
from stafett.storage.files import FileStorage

_ID, _CONTENT_HASH = "id", "content"


class _RowChanges(NamedTuple):
    """Numbers of activities that were added, removed and changed; None if a snapshot is missing."""

    added: int | None
    removed: int | None
    changed: int | None


class VersionComparison:
    """Compares versions with only an id and a hash per activity in memory, so that a million activities fit."""

    def __init__(self, database: Database, storage: FileStorage, *, raise_if_cancelled: Callable[[], None]) -> None:
        self._database = database
        self._storage = storage
        self._raise_if_cancelled = raise_if_cancelled

    def __call__(self, before: ReportFileVersion, after: Export) -> VersionChange:
        """Return what the new version changes; the row counts are null if either snapshot has been removed."""
        with self._database.transaction(after.org_id) as session:
            snapshots = _load_snapshot(session, before.export_id), _load_snapshot(session, after.id)
        rows = self._compare_snapshots(*snapshots)
        return VersionChange(
            rows_added=rows.added,
            rows_removed=rows.removed,
            rows_changed=rows.changed,
            mapping_changed=before.mapping["sha256"] != (after.mapping or {}).get("sha256"),
            same_bytes=before.file["sha256"] == (after.file or {}).get("sha256"),
        )

    def _compare_snapshots(self, before: QueriedRows | None, after: QueriedRows | None) -> _RowChanges:
        if before is None or after is None:
            return _RowChanges(None, None, None)
        if [part.sha256 for part in before.parts] == [part.sha256 for part in after.parts]:
            return _RowChanges(0, 0, 0)
        try:
            return _compare_frames(
                *(pl.concat(list(self._hash_rows(snapshot)) or [_NO_ROWS]) for snapshot in (before, after))
            )
        except StagedDataLostError:
            return _RowChanges(None, None, None)

    def _hash_rows(self, snapshot: QueriedRows) -> Iterator[pl.DataFrame]:
        for part in snapshot.parts:
            self._raise_if_cancelled()
            rows = frame_from_arrow(self._storage.read_part(part))
            values = rows.select(sorted(set(rows.columns) - {_ID}))
            yield pl.DataFrame({_ID: rows[_ID], _CONTENT_HASH: values.hash_rows(seed=0)})


_NO_ROWS = pl.DataFrame(schema={_ID: pl.String(), _CONTENT_HASH: pl.UInt64()})


def _compare_frames(before: pl.DataFrame, after: pl.DataFrame) -> _RowChanges:
    both = before.join(after, on=_ID, how="inner", suffix="_after")
    return _RowChanges(
        added=after.height - both.height,
        removed=before.height - both.height,
        changed=both.filter(pl.col(_CONTENT_HASH) != pl.col(f"{_CONTENT_HASH}_after")).height,
    )


def _load_snapshot(session: Session, export_id: object) -> QueriedRows | None:
    export = session.get_one(Export, export_id)
    staged = session.get(ExportStageOutput, (export_id, ExportStatus.QUERYING_ACTIVITIES))
    return None if staged is None or is_expired(export) else QueriedRows.model_validate(staged.outputs)
