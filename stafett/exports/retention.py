"""How long what an export left in storage is kept: what is not needed goes soon, what is too old for ever."""

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
from stafett.exports.file_removal import FileRemoval, lock_finished
from stafett.storage.files import FileStorage

_NOW = func.now()
_CLEANUP_GRACE_PERIOD = timedelta(minutes=10)
"""An execution that was thought dead may still be at work for so long after the end, and cleans up after itself."""

_PAGE_SIZE = 100


class RetentionPolicy(NamedTuple):
    """For how long: finished files with their snapshots, and what was staged for an export that has no file."""

    files: timedelta
    staging: timedelta


class Retention:
    """Works as the maintenance role, export by export; whatever is interrupted is found again next time."""

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
        tidied = sum(self._clear_staging(export) for export in self._iterate_exports(_has_staging_to_clear()))
        with self._database.transaction() as session:
            delete_expired_keys(session)
        removed = sum(self._file_removal.remove(export.job) for export in self._iterate_exports(self._is_expired()))
        return RetentionReport(staging_cleared=tidied, files_removed=removed)

    def _iterate_exports(self, condition: ColumnElement[bool]) -> Iterator[Export]:
        """Page by page, oldest first; what was done leaves the list, what was not is passed over."""
        after: ColumnElement[bool] | None = None
        while True:
            query = select(Export).where(condition).order_by(col(Export.completed_at), col(Export.id)).limit(_PAGE_SIZE)
            with self._database.transaction() as session:
                found = session.exec(query if after is None else query.where(after)).all()
            for export in found:
                self._raise_if_cancelled()
                yield export
            if len(found) < _PAGE_SIZE:
                return
            last = found[-1]
            after = or_(
                col(Export.completed_at) > last.completed_at,
                and_(col(Export.completed_at) == last.completed_at, col(Export.id) > last.id),
            )

    def _is_expired(self) -> ColumnElement[bool]:
        """Or deleted; and not removed yet."""
        age = _NOW - col(Export.completed_at)
        is_past = or_(
            col(Export.deleted_at).is_not(None),
            and_(col(Export.status) == ExportStatus.COMPLETED, age > self._policy.files),
            and_(col(Export.status) == ExportStatus.FAILED, age > self._policy.staging),
        )
        return and_(col(Export.files_removed_at).is_(None), is_past)

    def _clear_staging(self, export: Export) -> bool:
        """Keep what somebody may still ask for, and nothing else; the row is held, so that nobody tries it again."""
        job = export.job
        with self._database.transaction(job.org_id) as session:
            if lock_finished(session, job) is None:
                return False
            needed = _referenced_keys(session, export)
            self._storage.abort_uploads(job.key_prefix)
            self._storage.delete(key for key in self._storage.list_keys(job.key_prefix) if key not in needed)
            session.execute(update(Export).where(col(Export.id) == job.export_id).values(tidied_at=_NOW))
            return True


def _has_staging_to_clear() -> ColumnElement[bool]:
    return and_(
        col(Export.status).in_(EXPORT_FINAL_STATUSES),
        col(Export.tidied_at).is_(None),
        col(Export.files_removed_at).is_(None),
        col(Export.completed_at) < _NOW - _CLEANUP_GRACE_PERIOD,
    )


def _referenced_keys(session: Session, export: Export) -> set[str]:
    """Of a finished export its file and the snapshot it was made from; of a failed one whatever a retry reuses."""
    outputs = session.exec(select(ExportStageOutput).where(ExportStageOutput.export_id == export.id)).all()
    parts = session.exec(select(ExportMappedPart.objects).where(ExportMappedPart.export_id == export.id)).all()
    if export.status is ExportStatus.COMPLETED:
        outputs, parts = [one for one in outputs if one.stage is ExportStatus.QUERYING_ACTIVITIES], []
    of_this_one = col(Reexport.result_export_id) == export.id
    results = session.exec(select(Reexport.file).where(Reexport.org_id == export.org_id, of_this_one)).all()
    return set(iterate_object_keys([*(one.outputs for one in outputs), *parts, export.file, *results]))


def iterate_object_keys(node: object) -> Iterator[str]:
    """Every object that outputs refer to, whatever they are."""
    if isinstance(node, dict):
        if isinstance(node.get("key"), str):
            yield node["key"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from iterate_object_keys(one)
