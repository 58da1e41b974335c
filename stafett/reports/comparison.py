"""How one version of a report differs from another: activity by activity, out of the snapshots they were made from."""

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

_ID, _CONTENT = "id", "content"


class _Rows(NamedTuple):
    """How many activities are there in the one alone, in the other alone, and in both but otherwise."""

    added: int | None
    removed: int | None
    changed: int | None


class VersionComparison:
    """Of each activity only its id and a hash of all its values is held, so that a million of them are small."""

    def __init__(self, database: Database, storage: FileStorage, *, go_on: Callable[[], None]) -> None:
        self._database = database
        self._storage = storage
        self._go_on = go_on

    def __call__(self, before: ReportFileVersion, after: Export) -> VersionChange:
        """What a new version changes; the rows are null if a snapshot of the two is kept no longer."""
        with self._database.transaction(after.org_id) as session:
            snapshots = _snapshot(session, before.export_id), _snapshot(session, after.id)
        rows = self._rows(*snapshots)
        return VersionChange(
            rows_added=rows.added,
            rows_removed=rows.removed,
            rows_changed=rows.changed,
            mapping_changed=before.mapping["sha256"] != (after.mapping or {}).get("sha256"),
            same_bytes=before.file["sha256"] == (after.file or {}).get("sha256"),
        )

    def _rows(self, before: QueriedRows | None, after: QueriedRows | None) -> _Rows:
        if before is None or after is None:
            return _Rows(None, None, None)
        if [part.sha256 for part in before.parts] == [part.sha256 for part in after.parts]:
            return _Rows(0, 0, 0)
        try:
            return _compared(*(pl.concat(list(self._frames(one)) or [_NONE]) for one in (before, after)))
        except StagedDataLostError:
            return _Rows(None, None, None)

    def _frames(self, snapshot: QueriedRows) -> Iterator[pl.DataFrame]:
        for part in snapshot.parts:
            self._go_on()
            rows = frame_from_arrow(self._storage.read_part(part))
            values = rows.select(sorted(set(rows.columns) - {_ID}))
            yield pl.DataFrame({_ID: rows[_ID], _CONTENT: values.hash_rows(seed=0)})


_NONE = pl.DataFrame(schema={_ID: pl.String(), _CONTENT: pl.UInt64()})


def _compared(before: pl.DataFrame, after: pl.DataFrame) -> _Rows:
    both = before.join(after, on=_ID, how="inner", suffix="_after")
    return _Rows(
        added=after.height - both.height,
        removed=before.height - both.height,
        changed=both.filter(pl.col(_CONTENT) != pl.col(f"{_CONTENT}_after")).height,
    )


def _snapshot(session: Session, export_id: object) -> QueriedRows | None:
    export = session.get_one(Export, export_id)
    staged = session.get(ExportStageOutput, (export_id, ExportStatus.QUERYING_ACTIVITIES))
    return None if staged is None or is_expired(export) else QueriedRows.model_validate(staged.outputs)
