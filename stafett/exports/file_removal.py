"""Removal of an export's files from storage, with its audit event.

Three steps, each of which can be repeated: commit the decision, delete the objects, record the result. No row is locked
while S3 works. A retry that starts in between finds the decision and reuses no stage, and its objects are spared.
"""

from sqlalchemy import ColumnElement, and_, func, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import ExportJob
from stafett.exports.handed_in import RemovalConfirmation, find_handed_in_version, require_confirmation
from stafett.exports.state import delete_mapped_parts
from stafett.exports.stored_objects import delete_objects_up_to_attempt
from stafett.storage.files import FileStorage

_NOW = func.clock_timestamp()


class FileRemoval:
    """Idempotent: a second call removes nothing and writes nothing. Retention completes an interrupted removal."""

    def __init__(self, database: Database, storage: FileStorage, *, actor: str, reason: str | None = None) -> None:
        self._database = database
        self._storage = storage
        self._actor = actor
        self._reason: EventDetail = {} if reason is None else {"reason": reason}

    def remove(self, job: ExportJob, confirmation: RemovalConfirmation | None = None) -> bool:
        """Remove the files, and return whether this call did; false if a later attempt has started.

        Files of a protected version that was handed in are removed if that is confirmed, here or by the deletion.
        """
        with self._database.transaction(job.org_id) as session:
            export = start_file_removal(session, job, confirmation)
        if export is None or export.files_removed_at is not None:
            return False
        delete_objects_up_to_attempt(self._storage, job)
        return self._record_removal(job)

    def _record_removal(self, job: ExportJob) -> bool:
        """Record the removal, unless another call has, or a retry has started since the decision."""
        with self._database.transaction(job.org_id) as session:
            is_pending = and_(col(Export.removal_started_at).is_not(None), col(Export.files_removed_at).is_(None))
            removed = update(Export).where(is_attempt(job), is_pending).values(files_removed_at=_NOW)
            status = session.scalar(removed.returning(col(Export.status)))
            if status is None:
                return False
            delete_mapped_parts(session, job)
            handed_in = find_handed_in_version(session, job)
            entry = AuditEntry(
                org_id=job.org_id,
                actor=self._actor,
                event="files_removed",
                subject_id=job.export_id,
                status=status,
                detail={"attempt": job.attempt, **self._reason, **(handed_in.detail if handed_in else {})},
            )
            audit_trail.append_audit_event(session, entry)
            return True


def start_file_removal(
    session: Session, job: ExportJob, confirmation: RemovalConfirmation | None = None
) -> Export | None:
    """Write the decision to remove the files; return the export, or None if this attempt has not ended."""
    export = lock_finished_export(session, job)
    if export is not None and export.removal_started_at is None:
        if export.deleted_at is None:
            require_confirmation(session, job, confirmation, protected_only=True)
        session.execute(update(Export).where(is_attempt(job)).values(removal_started_at=_NOW))
    return export


def lock_finished_export(session: Session, job: ExportJob) -> Export | None:
    """Lock the job's row; return it if this attempt has ended and no later one has started."""
    export = session.exec(select(Export).where(Export.id == job.export_id).with_for_update()).one()
    return export if export.status.is_final and export.attempt == job.attempt else None


def is_attempt(job: ExportJob) -> ColumnElement[bool]:
    """Match the export while no later attempt has started."""
    return and_(col(Export.id) == job.export_id, col(Export.attempt) == job.attempt)
