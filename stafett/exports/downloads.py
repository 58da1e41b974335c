"""Who is given a report, and the trail of it: no link leaves us of which nothing is written down."""

from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import BinaryIO, NamedTuple
from uuid import UUID

from sqlalchemy import literal_column
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.session import Database
from stafett.database.tables import AuditEvent, Export
from stafett.domain.errors import FileRemovedError, NoFileError, NotFinishedError, NotFoundError, PermissionDeniedError
from stafett.domain.export_outputs import ReportFile
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Caller
from stafett.storage.files import PRESIGNED_URL_LIFETIME, FileStorage

LINK_ISSUED, FILE_DOWNLOADED = "link_issued", "file_downloaded"
_MAX_CACHED_LINKS = 10_000


class DownloadLink(NamedTuple):
    """A signed address of one object: the same for a whole day."""

    url: str
    expires_at: datetime

    @property
    def day(self) -> date:
        return (self.expires_at - PRESIGNED_URL_LIFETIME).date()


def get_downloadable_file(export: Export) -> ReportFile:
    """The file that people may have of an export now, or why there is none."""
    match export.status:
        case ExportStatus.COMPLETED if export.files_removed_at is not None:
            raise FileRemovedError("The file was removed from storage, and is gone; the export can be asked for anew.")
        case ExportStatus.COMPLETED:
            return ReportFile.model_validate(export.file)
        case ExportStatus.COMPLETED_EMPTY:
            raise NoFileError("There was nothing to report in this period, so the export has no file.")
        case ExportStatus.FAILED | ExportStatus.CANCELLED as ended:
            raise NoFileError(f"The export is {ended}, and has no file.")
        case _:
            raise NotFinishedError("The export is not finished, and has no file yet.")


class ExportDownloads:
    """Links and files of exports, with their audit events."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage
        self._recorded_links: set[tuple[UUID, DownloadLink]] = set()
        """What the trail is known to hold, and by its nature goes on to hold: whoever polls is asked for it once."""

    def get_link(self, caller: Caller, export: Export, now: datetime) -> DownloadLink | None:
        """What this caller may be handed now; it is not issued yet."""
        if not caller.can_download_from(export.org_id):
            return None
        try:
            return self._sign_link(get_downloadable_file(export), now)
        except (NoFileError, NotFinishedError, FileRemovedError):
            return None

    def record_link_issued(self, caller: Caller, export: Export, link: DownloadLink) -> None:
        """Have it in the trail that the caller was given this day's link: written once."""
        if (caller.user_id, link) in self._recorded_links:
            return
        entry = _audit_entry(caller, export, LINK_ISSUED, day=link.day.isoformat())
        try:
            with self._transaction(caller) as session:
                if not _is_recorded(session, entry):
                    audit_trail.append_audit_event(session, entry)
        except IntegrityError as error:
            if not _is_duplicate_link_event(error):
                raise
        if len(self._recorded_links) >= _MAX_CACHED_LINKS:
            self._recorded_links.clear()
        self._recorded_links.add((caller.user_id, link))

    def get_download_url(self, caller: Caller, export_id: UUID, now: datetime) -> str:
        """The address of the file, for somebody who goes there now."""
        with self._transaction(caller) as session:
            export = session.get(Export, export_id)
            if export is None:
                raise NotFoundError("There is no such export.")
            if not caller.can_download_from(export.org_id):
                raise PermissionDeniedError("You may not download the files of this organisation.")
            if export.deleted_at is not None:
                raise FileRemovedError("The export was deleted, and its file with it.")
            file = get_downloadable_file(export)
            audit_trail.append_audit_event(session, _audit_entry(caller, export, FILE_DOWNLOADED))
        return self._sign_link(file, now).url

    def open_file(self, caller: Caller, export: Export) -> BinaryIO:
        """The file itself; close it."""
        file = get_downloadable_file(export)
        with self._transaction(caller) as session:
            audit_trail.append_audit_event(session, _audit_entry(caller, export, FILE_DOWNLOADED))
        return self._storage.open(file.key)

    def _sign_link(self, file: ReportFile, now: datetime) -> DownloadLink:
        return DownloadLink(*self._storage.presign_url(file.key, file.name, now))

    def _transaction(self, caller: Caller) -> AbstractContextManager[Session]:
        return self._database.transaction(caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator)


def _audit_entry(caller: Caller, export: Export, event: str, **extra_detail: str) -> AuditEntry:
    detail: EventDetail = {"attempt": export.attempt, "sha256": get_downloadable_file(export).sha256, **extra_detail}
    actor = audit_trail.actor_from_user_id(caller.user_id)
    return AuditEntry(org_id=export.org_id, actor=actor, event=event, subject_id=export.id, detail=detail)


def _is_recorded(session: Session, entry: AuditEntry) -> bool:
    """Found in the index that also keeps it from being written twice."""
    same = (
        col(AuditEvent.org_id) == entry.org_id,
        col(AuditEvent.subject_id) == entry.subject_id,
        col(AuditEvent.event) == literal_column(f"'{LINK_ISSUED}'"),  # not a parameter: the index is of these alone
        col(AuditEvent.actor) == entry.actor,
        col(AuditEvent.detail)["day"].astext == entry.detail["day"],
        col(AuditEvent.detail)["sha256"].astext == entry.detail["sha256"],
    )
    return session.exec(select(AuditEvent.seq).where(*same)).first() is not None


def _is_duplicate_link_event(error: IntegrityError) -> bool:
    """Somebody polls from two places, and the other one was first."""
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "constraint_name", None) == "audit_events_one_link_a_day"
