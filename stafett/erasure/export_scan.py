"""Which exports keep a mentor's rows: read from what they were made of, part by part."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import LiteralString, NamedTuple
from uuid import UUID

import polars as pl
from sqlalchemy import text
from sqlmodel import col, select

from stafett.activity_frames import frame_from_arrow
from stafett.database.session import Database
from stafett.database.tables import Export, ExportStageOutput
from stafett.domain.erasure import ERASED_NAME, Person
from stafett.domain.errors import NotFoundError
from stafett.domain.export_status import EXPORT_FINAL_STATUSES, ExportStatus
from stafett.erasure.name_search import NamePattern
from stafett.exports.retention import iterate_object_keys
from stafett.storage.files import FileStorage

ErasureProgressCallback = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much."""

# Whose snapshot may have been taken already, and of which nothing is staged yet or any more that could be looked into.
_UNREADABLE_STATUSES = frozenset({ExportStatus.QUERYING_ACTIVITIES, ExportStatus.CANCELLING})
_HAS_ACTIVITIES_IN_PERIOD: LiteralString = """
SELECT EXISTS (SELECT FROM activities
               WHERE org_id = :org_id AND mentor_id = :mentor AND starts_at BETWEEN :first AND :last)
"""


class ScanFinding(Enum):
    """What an export keeps of somebody; in flight is what may hold their rows and has not ended."""

    NOTHING = auto()
    ROWS = auto()
    MENTIONS = auto()
    IN_FLIGHT = auto()


class ScannedExport(NamedTuple):
    """An export, and what it keeps."""

    export: Export
    finding: ScanFinding


class ExportScanner:
    """An organisation's exports, looked into. What cannot be looked into counts as keeping the mentor's rows."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage

    def scan(
        self, person: Person, name: str | None, report_progress: ErasureProgressCallback
    ) -> Iterator[ScannedExport]:
        """Every export that keeps something, as it is at the moment it is looked into.

        Those too that have come meanwhile: one may have taken over an older one's rows before that was emptied.
        """
        seen = set[UUID]()
        while exports := [one for one in self._list_exports(person.org_id) if one.id not in seen]:
            seen.update(one.id for one in exports)
            yield from self._scan(exports, person, name, report_progress)

    def list_running(self, person: Person, report_progress: ErasureProgressCallback) -> tuple[UUID, ...]:
        """The exports that have not ended and may hand out the mentor's rows when they do."""
        unended = self._list_exports(person.org_id, open_only=True)
        copies = self._scan(unended, person, None, report_progress)
        return tuple(copy.export.id for copy in copies if copy.finding is ScanFinding.IN_FLIGHT)

    def reload(self, export: Export) -> Export:
        with self._database.transaction(export.org_id) as session:
            return session.get_one(Export, export.id)

    def _scan(
        self, exports: Sequence[Export], person: Person, name: str | None, report_progress: ErasureProgressCallback
    ) -> Iterator[ScannedExport]:
        for number, listed in enumerate(exports):
            report_progress("Looking through exports", number, len(exports))
            export = self.reload(listed)
            if export.files_removed_at is None:
                found = self._classify(export, person, name)
                if found is not ScanFinding.NOTHING:
                    yield ScannedExport(export, found)

    def _list_exports(self, org_id: str, *, open_only: bool = False) -> Sequence[Export]:
        kept = select(Export).where(col(Export.org_id) == org_id, col(Export.files_removed_at).is_(None))
        query = kept.where(col(Export.status).not_in(EXPORT_FINAL_STATUSES)) if open_only else kept
        with self._database.transaction(org_id) as session:
            return session.exec(query.order_by(col(Export.created_at), col(Export.id))).all()

    def _classify(self, export: Export, person: Person, name: str | None) -> ScanFinding:
        if export.status in _UNREADABLE_STATUSES:
            is_touched = export.repeats is not None or self._has_activities_in_period(export, person)
            return ScanFinding.IN_FLIGHT if is_touched else ScanFinding.NOTHING
        found = self._classify_stored(export, person, NamePattern(name) if name else None)
        is_at_work = found is ScanFinding.ROWS and not export.status.is_final
        return ScanFinding.IN_FLIGHT if is_at_work else found

    def _classify_stored(self, export: Export, person: Person, name: NamePattern | None) -> ScanFinding:
        lying, named = self._storage.list_keys(export.job.key_prefix), self._list_snapshot_keys(export)
        if named is None:
            return ScanFinding.ROWS if lying or export.status is ExportStatus.COMPLETED else ScanFinding.NOTHING
        found = ScanFinding.NOTHING
        for key in sorted(named.union(key for key in lying if _is_snapshot_key(key))):
            try:
                content = self._storage.read(key)
            except NotFoundError:
                if key in named:
                    return ScanFinding.ROWS
                continue  # what a lost execution of the query had left, tidied away just now
            rows = _read_rows(content)
            if rows is None or _has_identifying_rows(rows, person):
                return ScanFinding.ROWS
            if name and name.filter_rows(rows).height:
                found = ScanFinding.MENTIONS
        return found

    def _list_snapshot_keys(self, export: Export) -> set[str] | None:
        """The objects that make up its snapshot, wherever they lie; None if it has committed none."""
        with self._database.transaction(export.org_id) as session:
            output = session.get(ExportStageOutput, (export.id, ExportStatus.QUERYING_ACTIVITIES))
        return None if output is None else set(iterate_object_keys(output.outputs))

    def _has_activities_in_period(self, export: Export, person: Person) -> bool:
        period = {"first": export.period_start, "last": export.period_end}
        with self._database.transaction(export.org_id) as session:
            asked = {"org_id": person.org_id, "mentor": person.id, **period}
            return bool(session.scalar(text(_HAS_ACTIVITIES_IN_PERIOD), asked))


def _is_snapshot_key(key: str) -> bool:
    return f"-{ExportStatus.QUERYING_ACTIVITIES}-" in key and key.endswith(".arrow")


def _read_rows(content: bytes) -> pl.DataFrame | None:
    """None if it is not what we wrote; Polars says so as an error of its own, or as one of reading a file."""
    try:
        return frame_from_arrow(content)
    except (pl.exceptions.PolarsError, OSError):
        return None


def _has_identifying_rows(rows: pl.DataFrame, person: Person) -> bool:
    """Rows from before the erasure: those of a later snapshot are the same activities, and tell of nobody."""
    if "mentor_id" not in rows.columns:
        return False
    tells = (pl.col("mentor_name") != ERASED_NAME) | pl.col("note").is_not_null() | (pl.col("attachments") > 0)
    return not rows.filter(pl.col("mentor_id") == str(person.id), tells).is_empty()
