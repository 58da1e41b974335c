"""Completed exports whose file is missing from the bucket, so that no dead link is issued.

After the database was restored to an earlier moment, exports that were deleted since are back as completed. The finding
can be undone: it is cleared when the object is there again.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from sqlalchemy import ColumnElement, func, tuple_, update
from sqlmodel import and_, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_status import ExportStatus
from stafett.exports.file_removal import is_attempt
from stafett.storage.files import FileStorage

_PAGE_SIZE = 500
_NOW = func.clock_timestamp()


class MissingFiles:
    """Compares ``file_missing_since`` of the exports that have a file with the bucket."""

    def __init__(
        self,
        maintenance: Database,
        storage: FileStorage,
        *,
        raise_if_cancelled: Callable[[], None],
        org_id: str | None = None,
    ) -> None:
        self._database = maintenance
        self._storage = storage
        self._raise_if_cancelled = raise_if_cancelled
        is_selected = [_has_file()] if org_id is None else [_has_file(), col(Export.org_id) == org_id]
        self._condition = and_(*is_selected)

    def update(self) -> Counter[str]:
        """Write an audit event for each file that is noticed as missing, or is there again."""
        counts = Counter[str]()
        for export in self._iterate_exports():
            self._raise_if_cancelled()
            is_missing = not self._storage.has_object((export.file or {})["key"])
            if is_missing != (export.file_missing_since is not None) and self._record(export, is_missing=is_missing):
                counts["files_missing" if is_missing else "files_found"] += 1
        return counts

    def _iterate_exports(self) -> Iterator[Export]:
        cursor = tuple_(col(Export.completed_at), col(Export.id))
        query = select(Export).where(self._condition).order_by(col(Export.completed_at), col(Export.id))
        page_query = query.limit(_PAGE_SIZE)
        while True:
            with self._database.transaction() as session:
                page = session.exec(page_query).all()
            yield from page
            if len(page) < _PAGE_SIZE:
                return
            page_query = query.where(cursor > (page[-1].completed_at, page[-1].id)).limit(_PAGE_SIZE)

    def _record(self, export: Export, *, is_missing: bool) -> bool:
        """Record the finding; return false if the file is being removed or another run was first."""
        was_missing = col(Export.file_missing_since).is_not(None)
        is_current = and_(is_attempt(export.job), _has_file(), ~was_missing if is_missing else was_missing)
        with self._database.transaction(export.org_id) as session:
            statement = update(Export).where(is_current).values(file_missing_since=_NOW if is_missing else None)
            if session.scalar(statement.returning(col(Export.id))) is None:
                return False
            entry = AuditEntry(
                org_id=export.org_id,
                actor=audit_trail.RETENTION_ACTOR,
                event="file_missing" if is_missing else "file_found",
                subject_id=export.id,
                detail={"attempt": export.attempt, "sha256": (export.file or {})["sha256"]},
            )
            audit_trail.append_audit_event(session, entry)
            return True


def _has_file() -> ColumnElement[bool]:
    """Match exports whose file is neither removed nor about to be."""
    return and_(
        col(Export.status) == ExportStatus.COMPLETED,
        col(Export.removal_started_at).is_(None),
        col(Export.deleted_at).is_(None),
    )
