"""Retention: staging data is cleared soon after an export ends, expired files are removed later."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import ColumnElement, func, or_, tuple_, update
from sqlmodel import and_, col, select

from stafett.database.idempotency import delete_expired_keys
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.errors import WorkCancelledError
from stafett.domain.export_job import RetentionReport
from stafett.domain.export_status import EXPORT_FINAL_STATUSES, ExportStatus
from stafett.exports.file_removal import FileRemoval, is_attempt, lock_finished_export
from stafett.exports.handed_in import is_handed_in
from stafett.exports.stored_objects import delete_objects_up_to_attempt, load_referenced_keys
from stafett.monitoring.logs import error_location
from stafett.storage.files import FileStorage

_NOW = func.now()
_CLEANUP_GRACE_PERIOD = timedelta(minutes=5)
"""How long an execution that timed out may still run after the export has ended; it cleans up after itself."""

_PAGE_SIZE = 100
_log = structlog.get_logger("stafett.retention")


class RetentionPolicy(NamedTuple):
    """Retention periods of finished files with their snapshots, and of the staging data of failed exports."""

    files: timedelta
    staging: timedelta


class Retention:
    """Works as the maintenance role, one export at a time; the next run continues after an interruption."""

    def __init__(
        self,
        maintenance: Database,
        storage: FileStorage,
        file_removal: FileRemoval,
        policy: RetentionPolicy,
        *,
        raise_if_cancelled: Callable[[], None],
    ) -> None:
        self._database = maintenance
        self._storage = storage
        self._file_removal = file_removal
        self._policy = policy
        self._raise_if_cancelled = raise_if_cancelled

    def apply(self) -> RetentionReport:
        """Handle each export on its own, so that the error of one does not stop the others."""
        cleared = [self._try(self._clear_staging, export) for export in self._iterate_exports(_has_staging_to_clear())]
        with self._database.transaction() as session:
            delete_expired_keys(session)
        removed = [
            self._try(self._remove_files, export)
            for condition in (_has_removal_to_finish(), self._is_expired())
            for export in self._iterate_exports(condition)
        ]
        return RetentionReport(
            staging_cleared=cleared.count(True),
            files_removed=removed.count(True),
            errors=[*cleared, *removed].count(None),
        )

    def _try(self, clean_up: Callable[[Export], bool], export: Export) -> bool | None:
        """Return whether the clean-up did anything, or None after an error of this export alone."""
        try:
            return clean_up(export)
        except WorkCancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - any error, even an unexpected one, concerns this export only
            self._storage.ping()  # raises if S3 does not respond at all, and Temporal retries the activity
            self._database.ping()
            _log.warning(
                "retention_failed",
                export_id=str(export.id),
                error=type(error).__name__,
                location=error_location(error),
            )
            return None

    def _iterate_exports(self, condition: ColumnElement[bool]) -> Iterator[Export]:
        """Iterate page by page, oldest first; the cursor passes over exports that still match the condition."""
        after: ColumnElement[bool] | None = None
        while True:
            query = select(Export).where(condition).order_by(col(Export.completed_at), col(Export.id)).limit(_PAGE_SIZE)
            with self._database.transaction() as session:
                page = session.exec(query if after is None else query.where(after)).all()
            for export in page:
                self._raise_if_cancelled()
                yield export
            if len(page) < _PAGE_SIZE:
                return
            last = page[-1]
            after = tuple_(col(Export.completed_at), col(Export.id)) > (last.completed_at, last.id)

    def _is_expired(self) -> ColumnElement[bool]:
        """Match expired exports whose files are not removed yet; the shorter period limits the part of the index.

        What was handed in to Bufdir is also stored until five years after the grant year.
        """
        completed_at = col(Export.completed_at)
        is_expired = or_(
            and_(col(Export.status) == ExportStatus.COMPLETED, completed_at < _NOW - self._policy.files),
            and_(col(Export.status) == ExportStatus.FAILED, completed_at < _NOW - self._policy.staging),
        )
        is_old = and_(col(Export.files_removed_at).is_(None), completed_at < _NOW - min(self._policy), is_expired)
        return and_(is_old, ~is_handed_in(protected_only=True))

    def _remove_files(self, export: Export) -> bool:
        return self._file_removal.remove(export.job)

    def _clear_staging(self, export: Export) -> bool:
        """Delete what nothing refers to. A retry that starts meanwhile reuses referenced objects only."""
        job = export.job
        with self._database.transaction(job.org_id) as session:
            locked = lock_finished_export(session, job)
            if locked is None or locked.removal_started_at is not None:
                return False
            referenced_keys = load_referenced_keys(session, [locked])
        delete_objects_up_to_attempt(self._storage, job, protected_keys=referenced_keys)
        with self._database.transaction(job.org_id) as session:
            is_pending = and_(is_attempt(job), col(Export.staging_cleared_at).is_(None))
            cleared = update(Export).where(is_pending).values(staging_cleared_at=_NOW).returning(col(Export.id))
            return session.scalar(cleared) is not None


def _has_removal_to_finish() -> ColumnElement[bool]:
    """Match exports that were deleted, or whose removal was interrupted, and that still have files."""
    is_interrupted = col(Export.removal_started_at) < _NOW - _CLEANUP_GRACE_PERIOD
    return and_(col(Export.files_removed_at).is_(None), or_(col(Export.deleted_at).is_not(None), is_interrupted))


def _has_staging_to_clear() -> ColumnElement[bool]:
    return and_(
        col(Export.status).in_(EXPORT_FINAL_STATUSES),
        col(Export.staging_cleared_at).is_(None),
        col(Export.removal_started_at).is_(None),
        col(Export.completed_at) < _NOW - _CLEANUP_GRACE_PERIOD,
    )
