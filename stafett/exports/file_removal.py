"""Taking an export's files out of storage, and writing down that they are gone."""

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
    """Twice is once: whoever comes second finds nothing to remove and nothing to write."""

    def __init__(self, database: Database, storage: FileStorage, *, actor: str, reason: str | None = None) -> None:
        self._database = database
        self._storage = storage
        self._actor = actor
        self._reason: EventDetail = {} if reason is None else {"reason": reason}

    def remove(self, job: ExportJob) -> bool:
        """Whether it was this call that removed them; the row is held meanwhile, so that nobody tries it again."""
        with self._database.transaction(job.org_id) as session:
            export = lock_finished(session, job)
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


def lock_finished(session: Session, job: ExportJob) -> Export | None:
    """The job's row, held, if this attempt has ended and none has followed it."""
    export = session.exec(select(Export).where(Export.id == job.export_id).with_for_update()).one()
    return export if export.status.is_final and export.attempt == job.attempt else None
