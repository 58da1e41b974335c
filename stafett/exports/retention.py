"""Retention: staging data is cleared soon after an export ends, expired files are removed later."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, or_, update
from sqlmodel import Session, and_, col, select

from stafett.database.idempotency import delete_expired_keys
from stafett.database.session import Database
from stafett.database.tables import Export, ExportMappedPart, ExportStageOutput, Reexport
from stafett.domain.export_job import RetentionReport
from stafett.domain.export_status import EXPORT_FINAL_STATUSES, ExportStatus
from stafett.exports.file_removal import FileRemoval, lock_finished_export
from stafett.storage.files import FileStorage

_NOW = func.now()
_CLEANUP_GRACE_PERIOD = timedelta(minutes=10)
"""How long an execution that timed out may still run after the export has ended; it cleans up after itself."""

_PAGE_SIZE = 100


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
        staging_cleared = sum(self._clear_staging(export) for export in self._iterate_exports(_has_staging_to_clear()))
        with self._database.transaction() as session:
            delete_expired_keys(session)
        files_removed = sum(
            self._file_removal.remove(export.job) for export in self._iterate_exports(self._is_expired())
        )
        return RetentionReport(staging_cleared=staging_cleared, files_removed=files_removed)

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
            after = or_(
                col(Export.completed_at) > last.completed_at,
                and_(col(Export.completed_at) == last.completed_at, col(Export.id) > last.id),
            )

    def _is_expired(self) -> ColumnElement[bool]:
        """Match exports that are expired or deleted, and whose files are not removed yet."""
        age = _NOW - col(Export.completed_at)
        is_expired = or_(
            col(Export.deleted_at).is_not(None),
            and_(col(Export.status) == ExportStatus.COMPLETED, age > self._policy.files),
            and_(col(Export.status) == ExportStatus.FAILED, age > self._policy.staging),
        )
        return and_(col(Export.files_removed_at).is_(None), is_expired)

    def _clear_staging(self, export: Export) -> bool:
        """Delete all objects that are not referenced any more; the row is locked, so that no retry can start."""
        job = export.job
        with self._database.transaction(job.org_id) as session:
            if lock_finished_export(session, job) is None:
                return False
            referenced_keys = _load_referenced_keys(session, export)
            self._storage.abort_uploads(job.key_prefix)
            self._storage.delete(key for key in self._storage.list_keys(job.key_prefix) if key not in referenced_keys)
            session.execute(update(Export).where(col(Export.id) == job.export_id).values(staging_cleared_at=_NOW))
            return True


def _has_staging_to_clear() -> ColumnElement[bool]:
    return and_(
        col(Export.status).in_(EXPORT_FINAL_STATUSES),
        col(Export.staging_cleared_at).is_(None),
        col(Export.files_removed_at).is_(None),
        col(Export.completed_at) < _NOW - _CLEANUP_GRACE_PERIOD,
    )


def _load_referenced_keys(session: Session, export: Export) -> set[str]:
    """Return the keys of a completed export's file and snapshot, or of all that a retry of a failed export reuses."""
    outputs = session.exec(select(ExportStageOutput).where(ExportStageOutput.export_id == export.id)).all()
    parts = session.exec(select(ExportMappedPart.parts).where(ExportMappedPart.export_id == export.id)).all()
    if export.status is ExportStatus.COMPLETED:
        outputs, parts = [output for output in outputs if output.stage is ExportStatus.QUERYING_ACTIVITIES], []
    is_this_export = col(Reexport.result_export_id) == export.id
    results = session.exec(select(Reexport.file).where(Reexport.org_id == export.org_id, is_this_export)).all()
    return set(iterate_object_keys([*(output.outputs for output in outputs), *parts, export.file, *results]))


def iterate_object_keys(node: object) -> Iterator[str]:
    """Iterate over the object keys anywhere in a JSON value of stage outputs."""
    if isinstance(node, dict):
        if isinstance(node.get("key"), str):
            yield node["key"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from iterate_object_keys(item)
