"""Taking an export's files out of storage, and writing down that they are gone."""

from sqlalchemy import func, update
from sqlmodel import col

from stafett import export_audit
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import ExportJob
from stafett.export_audit import AuditEntry
from stafett.file_storage import FileStorage

_NOW = func.clock_timestamp()


class FileRemoval:
    """Twice is once: whoever comes second finds nothing to remove and nothing to write."""

    def __init__(self, database: Database, storage: FileStorage, *, actor: str) -> None:
        self._database = database
        self._storage = storage
        self._actor = actor

    def remove(self, job: ExportJob) -> bool:
        """Whether it was this call that removed them; storage first, for what is written down has to be true."""
        self._storage.remove_below(job.place)
        with self._database.transaction(job.org_id) as session:
            gone = update(Export).where(col(Export.id) == job.export_id, col(Export.files_removed_at).is_(None))
            status = session.scalar(gone.values(files_removed_at=_NOW).returning(col(Export.status)))
            if status is None:
                return False
            entry = AuditEntry(
                org_id=job.org_id, actor=self._actor, event="files_removed", subject_id=job.export_id, status=status
            )
            export_audit.append(session, entry)
            return True
