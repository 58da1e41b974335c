"""Removal of an export's files from storage, with its audit event."""

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import ExportJob
from stafett.exports.state import delete_mapped_parts
from stafett.storage.files import FileStorage

_NOW = func.clock_timestamp()


class FileRemoval:
    """Idempotent: a second call removes nothing and writes nothing."""

    def __init__(self, database: Database, storage: FileStorage, *, actor: str, reason: str | None = None) -> None:
        self._database = database
        self._storage = storage
        self._actor = actor
        self._reason: EventDetail = {} if reason is None else {"reason": reason}

    def remove(self, job: ExportJob) -> bool:
        """Remove the files, and return whether this call did. The row stays locked, so that no retry can start."""
        with self._database.transaction(job.org_id) as session:
            export = lock_finished_export(session, job)
            if export is None or export.files_removed_at is not None:
                return False
            self._storage.delete_prefix(job.key_prefix)
            delete_mapped_parts(session, job)
            session.execute(update(Export).where(col(Export.id) == job.export_id).values(files_removed_at=_NOW))
            entry = AuditEntry(
                org_id=job.org_id,
                actor=self._actor,
                event="files_removed",
                subject_id=job.export_id,
                status=export.status,
                detail={"attempt": job.attempt, **self._reason},
            )
            audit_trail.append_audit_event(session, entry)
            return True


def lock_finished_export(session: Session, job: ExportJob) -> Export | None:
    """Lock the job's row; return it if this attempt has ended and no later one has started."""
    export = session.exec(select(Export).where(Export.id == job.export_id).with_for_update()).one()
    return export if export.status.is_final and export.attempt == job.attempt else None
