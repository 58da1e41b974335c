"""Finds the exports that store a mentor's rows, by reading their snapshots part by part."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import LiteralString, NamedTuple
from uuid import UUID

import polars as pl
from sqlalchemy import ColumnElement, text
from sqlmodel import col, select

from stafett.activity_frames import frame_from_arrow
from stafett.database.session import Database
from stafett.database.tables import Export, ExportStageOutput
from stafett.domain.erasure import ERASED_NAME, Person
from stafett.domain.errors import NotFoundError
from stafett.domain.export_status import EXPORT_FINAL_STATUSES, ExportStatus
from stafett.erasure.name_search import NamePattern
from stafett.exports.handed_in import is_handed_in
from stafett.exports.stored_objects import iterate_object_keys
from stafett.storage.files import FileStorage

ErasureProgressCallback = Callable[[str, int, int], None]
"""Called with the step's name, the number of units done and their total."""

# An export in one of these statuses may have a snapshot, but has no staged outputs to scan: not yet or no longer.
_UNREADABLE_STATUSES = frozenset({ExportStatus.QUERYING_ACTIVITIES, ExportStatus.CANCELLING})
_HAS_ACTIVITIES_IN_PERIOD: LiteralString = """
SELECT EXISTS (SELECT FROM activities
               WHERE org_id = :org_id AND mentor_id = :mentor AND starts_at BETWEEN :first AND :last)
"""


class ScanFinding(Enum):
    """What an export stores of a person; an export in flight may store their rows and has not ended."""

    NOTHING = auto()
    ROWS = auto()
    MENTIONS = auto()
    IN_FLIGHT = auto()


class ScannedExport(NamedTuple):
    """An export with the scan's finding."""

    export: Export
    finding: ScanFinding


class ExportScanner:
    """Scans an organisation's exports. One that cannot be read counts as storing the mentor's rows."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage

    def scan(
        self, person: Person, name: str | None, report_progress: ErasureProgressCallback
    ) -> Iterator[ScannedExport]:
        """Yield every export that stores something, as it is at the moment it is scanned.

        Exports added meanwhile are scanned too: one may have copied an older one's rows before that was emptied.
        """
        scanned_ids = set[UUID]()
        while exports := [export for export in self._list_exports(person.org_id) if export.id not in scanned_ids]:
            scanned_ids.update(export.id for export in exports)
            yield from self._scan(exports, person, name, report_progress)

    def list_running(self, person: Person, report_progress: ErasureProgressCallback) -> tuple[UUID, ...]:
        """List the exports that have not ended and may publish the mentor's rows when they complete."""
        open_exports = self._list_exports(person.org_id, col(Export.status).not_in(EXPORT_FINAL_STATUSES))
        scanned_exports = self._scan(open_exports, person, None, report_progress)
        return tuple(scanned.export.id for scanned in scanned_exports if scanned.finding is ScanFinding.IN_FLIGHT)

    def find_handed_in(self, person: Person, report_progress: ErasureProgressCallback) -> Export | None:
        """Return an export that stores the mentor's rows and the file of a version that was handed in."""
        handed_in_exports = self._list_exports(person.org_id, is_handed_in())
        scanned_exports = self._scan(handed_in_exports, person, None, report_progress)
        return next((scanned.export for scanned in scanned_exports if scanned.finding is ScanFinding.ROWS), None)

    def reload(self, export: Export) -> Export:
        with self._database.transaction(export.org_id) as session:
            return session.get_one(Export, export.id)

    def _scan(
        self, exports: Sequence[Export], person: Person, name: str | None, report_progress: ErasureProgressCallback
    ) -> Iterator[ScannedExport]:
        for number, listed in enumerate(exports):
            report_progress("Scanning exports", number, len(exports))
            export = self.reload(listed)
            if export.files_removed_at is None:
                finding = self._classify(export, person, name)
                if finding is not ScanFinding.NOTHING:
                    yield ScannedExport(export, finding)

    def _list_exports(self, org_id: str, *conditions: ColumnElement[bool]) -> Sequence[Export]:
        query = select(Export).where(col(Export.org_id) == org_id, col(Export.files_removed_at).is_(None), *conditions)
        with self._database.transaction(org_id) as session:
            return session.exec(query.order_by(col(Export.created_at), col(Export.id))).all()

    def _classify(self, export: Export, person: Person, name: str | None) -> ScanFinding:
        if export.status in _UNREADABLE_STATUSES:
            may_store_rows = export.source_export_id is not None or self._has_activities_in_period(export, person)
            return ScanFinding.IN_FLIGHT if may_store_rows else ScanFinding.NOTHING
        finding = self._classify_stored(export, person, NamePattern(name) if name else None)
        is_running = finding is ScanFinding.ROWS and not export.status.is_final
        return ScanFinding.IN_FLIGHT if is_running else finding

    def _classify_stored(self, export: Export, person: Person, name: NamePattern | None) -> ScanFinding:
        stored_keys, snapshot_keys = self._storage.list_keys(export.job.key_prefix), self._list_snapshot_keys(export)
        if snapshot_keys is None:
            return ScanFinding.ROWS if stored_keys or export.status is ExportStatus.COMPLETED else ScanFinding.NOTHING
        finding = ScanFinding.NOTHING
        for key in sorted(snapshot_keys.union(key for key in stored_keys if _is_snapshot_key(key))):
            try:
                content = self._storage.read(key)
            except NotFoundError:
                if key in snapshot_keys:
                    return ScanFinding.ROWS
                continue  # left by a lost execution of the query, and deleted just now
            rows = _read_rows(content)
            if rows is None or _has_identifying_rows(rows, person):
                return ScanFinding.ROWS
            if name and name.filter_rows(rows).height:
                finding = ScanFinding.MENTIONS
        return finding

    def _list_snapshot_keys(self, export: Export) -> set[str] | None:
        """Return the keys of the snapshot's objects, under any prefix; None if no snapshot is committed."""
        with self._database.transaction(export.org_id) as session:
            output = session.get(ExportStageOutput, (export.id, ExportStatus.QUERYING_ACTIVITIES))
        return None if output is None else set(iterate_object_keys(output.outputs))

    def _has_activities_in_period(self, export: Export, person: Person) -> bool:
        params = {
            "org_id": person.org_id,
            "mentor": person.id,
            "first": export.period_start,
            "last": export.period_end,
        }
        with self._database.transaction(export.org_id) as session:
            return bool(session.scalar(text(_HAS_ACTIVITIES_IN_PERIOD), params))


def _is_snapshot_key(key: str) -> bool:
    return f"-{ExportStatus.QUERYING_ACTIVITIES}-" in key and key.endswith(".arrow")


def _read_rows(content: bytes) -> pl.DataFrame | None:
    """Return None if the content is no intact snapshot part, for which Polars raises its own errors or OSError."""
    try:
        return frame_from_arrow(content)
    except (pl.exceptions.PolarsError, OSError):
        return None


def _has_identifying_rows(rows: pl.DataFrame, person: Person) -> bool:
    """Check for rows from before the erasure; a later snapshot has the same activities, but nothing identifying."""
    if "mentor_id" not in rows.columns:
        return False
    is_identifying = (pl.col("mentor_name") != ERASED_NAME) | pl.col("note").is_not_null() | (pl.col("attachments") > 0)
    return not rows.filter(pl.col("mentor_id") == str(person.id), is_identifying).is_empty()
