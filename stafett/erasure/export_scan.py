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
from stafett.erasure.name_search import Name
from stafett.exports.retention import iterate_object_keys
from stafett.storage.files import FileStorage

Told = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much."""

# Whose snapshot may have been taken already, and of which nothing is staged yet or any more that could be looked into.
_UNREADABLE = frozenset({ExportStatus.QUERYING_ACTIVITIES, ExportStatus.CANCELLING})
_TOUCHES: LiteralString = """
SELECT EXISTS (SELECT FROM activities
               WHERE org_id = :org_id AND mentor_id = :mentor AND starts_at BETWEEN :first AND :last)
"""


class Found(Enum):
    """What an export keeps of somebody; in flight is what may hold their rows and has not ended."""

    NOTHING = auto()
    ROWS = auto()
    MENTIONS = auto()
    IN_FLIGHT = auto()


class Copy(NamedTuple):
    """An export, and what it keeps."""

    export: Export
    found: Found


class Copies:
    """An organisation's exports, looked into. What cannot be looked into counts as keeping the mentor's rows."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage

    def of(self, person: Person, name: str | None, told: Told) -> Iterator[Copy]:
        """Every export that keeps something, as it is at the moment it is looked into.

        Those too that have come meanwhile: one may have taken over an older one's rows before that was emptied.
        """
        seen = set[UUID]()
        while exports := [one for one in self._exports(person.org_id) if one.id not in seen]:
            seen.update(one.id for one in exports)
            yield from self._looked_into(exports, person, name, told)

    def running(self, person: Person, told: Told) -> tuple[UUID, ...]:
        """The exports that have not ended and may hand out the mentor's rows when they do."""
        unended = self._exports(person.org_id, unended=True)
        copies = self._looked_into(unended, person, None, told)
        return tuple(copy.export.id for copy in copies if copy.found is Found.IN_FLIGHT)

    def refreshed(self, export: Export) -> Export:
        with self._database.transaction(export.org_id) as session:
            return session.get_one(Export, export.id)

    def _looked_into(self, exports: Sequence[Export], person: Person, name: str | None, told: Told) -> Iterator[Copy]:
        for number, listed in enumerate(exports):
            told("Looking through exports", number, len(exports))
            export = self.refreshed(listed)
            if export.files_removed_at is None:
                found = self._found(export, person, name)
                if found is not Found.NOTHING:
                    yield Copy(export, found)

    def _exports(self, org_id: str, *, unended: bool = False) -> Sequence[Export]:
        kept = select(Export).where(col(Export.org_id) == org_id, col(Export.files_removed_at).is_(None))
        query = kept.where(col(Export.status).not_in(EXPORT_FINAL_STATUSES)) if unended else kept
        with self._database.transaction(org_id) as session:
            return session.exec(query.order_by(col(Export.created_at), col(Export.id))).all()

    def _found(self, export: Export, person: Person, name: str | None) -> Found:
        if export.status in _UNREADABLE:
            is_touched = export.repeats is not None or self._touches(export, person)
            return Found.IN_FLIGHT if is_touched else Found.NOTHING
        found = self._in_storage(export, person, Name(name) if name else None)
        is_at_work = found is Found.ROWS and not export.status.is_final
        return Found.IN_FLIGHT if is_at_work else found

    def _in_storage(self, export: Export, person: Person, name: Name | None) -> Found:
        lying, named = self._storage.keys_below(export.job.key_prefix), self._snapshot_of(export)
        if named is None:
            return Found.ROWS if lying or export.status is ExportStatus.COMPLETED else Found.NOTHING
        found = Found.NOTHING
        for key in sorted(named.union(key for key in lying if _is_of_a_snapshot(key))):
            try:
                content = self._storage.read(key)
            except NotFoundError:
                if key in named:
                    return Found.ROWS
                continue  # what a lost execution of the query had left, tidied away just now
            rows = _rows_in(content)
            if rows is None or _holds(rows, person):
                return Found.ROWS
            if name and name.rows(rows).height:
                found = Found.MENTIONS
        return found

    def _snapshot_of(self, export: Export) -> set[str] | None:
        """The objects that make up its snapshot, wherever they lie; None if it has committed none."""
        with self._database.transaction(export.org_id) as session:
            output = session.get(ExportStageOutput, (export.id, ExportStatus.QUERYING_ACTIVITIES))
        return None if output is None else set(iterate_object_keys(output.outputs))

    def _touches(self, export: Export, person: Person) -> bool:
        period = {"first": export.period_start, "last": export.period_end}
        with self._database.transaction(export.org_id) as session:
            asked = {"org_id": person.org_id, "mentor": person.id, **period}
            return bool(session.scalar(text(_TOUCHES), asked))


def _is_of_a_snapshot(key: str) -> bool:
    return f"-{ExportStatus.QUERYING_ACTIVITIES}-" in key and key.endswith(".arrow")


def _rows_in(content: bytes) -> pl.DataFrame | None:
    """None if it is not what we wrote; Polars says so as an error of its own, or as one of reading a file."""
    try:
        return frame_from_arrow(content)
    except (pl.exceptions.PolarsError, OSError):
        return None


def _holds(rows: pl.DataFrame, person: Person) -> bool:
    """Rows from before the erasure: those of a later snapshot are the same activities, and tell of nobody."""
    if "mentor_id" not in rows.columns:
        return False
    tells = (pl.col("mentor_name") != ERASED_NAME) | pl.col("note").is_not_null() | (pl.col("attachments") > 0)
    return not rows.filter(pl.col("mentor_id") == str(person.id), tells).is_empty()
