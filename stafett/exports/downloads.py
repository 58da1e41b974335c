"""Download links and files of exports; every issued link and every download has an audit event."""

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
from stafett.domain.file_versions import name_version
from stafett.domain.membership import Caller
from stafett.storage.files import PRESIGNED_URL_LIFETIME, FileStorage

LINK_ISSUED, FILE_DOWNLOADED = "link_issued", "file_downloaded"
_MAX_CACHED_LINKS = 10_000


class DownloadLink(NamedTuple):
    """A presigned URL of one object, the same for a whole day."""

    url: str
    expires_at: datetime

    @property
    def day(self) -> date:
        return (self.expires_at - PRESIGNED_URL_LIFETIME).date()


def get_downloadable_file(export: Export) -> ReportFile:
    """Return the file that can be downloaded now, or raise the reason why there is none."""
    match export.status:
        case ExportStatus.COMPLETED if export.removal_started_at is not None:
            raise FileRemovedError("The file has been removed from storage; start a new export to get it again.")
        case ExportStatus.COMPLETED if export.file_missing_since is not None:
            raise FileRemovedError("The file is missing from storage; start a new export to get it again.")
        case ExportStatus.COMPLETED:
            return ReportFile.model_validate(export.file)
        case ExportStatus.COMPLETED_EMPTY:
            raise NoFileError("There were no activities in this period, so the export has no file.")
        case ExportStatus.FAILED | ExportStatus.CANCELLED as ended:
            raise NoFileError(f"The export is {ended} and has no file.")
        case _:
            raise NotFinishedError("The export is not finished and has no file yet.")


def get_downloadable_export(session: Session, caller: Caller, export_id: UUID) -> Export:
    """Return the export if it has a file that the caller may download now, or raise the reason why not."""
    export = session.get(Export, export_id)
    if export is None:
        raise NotFoundError("There is no such export.")
    if not caller.can_download_from(export.org_id):
        raise PermissionDeniedError("You may not download the files of this organisation.")
    if export.deleted_at is not None:
        raise FileRemovedError("The export and its file were deleted.")
    get_downloadable_file(export)
    return export


class ExportDownloads:
    """Links and files of exports, with their audit events."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage
        self._recorded_links: set[tuple[str, DownloadLink]] = set()
        """Links whose audit event is already written, so that polling does not query the audit trail."""

    def get_link(
        self, caller: Caller, export: Export, now: datetime, version: int | None = None
    ) -> DownloadLink | None:
        """Return the link that this caller may have, or none; the caller records it with ``record_link_issued``.

        Browsers save the file of a report's version under the version's own name.
        """
        if not caller.can_download_from(export.org_id):
            return None
        try:
            return self._sign_link(get_downloadable_file(export), now, version or 1)
        except (NoFileError, NotFinishedError, FileRemovedError):
            return None

    def record_link_issued(self, caller: Caller, export: Export, link: DownloadLink) -> None:
        """Write the audit event of this day's link, once per user, file and day."""
        if (caller.actor, link) in self._recorded_links:
            return
        entry = build_audit_entry(caller, export, LINK_ISSUED, day=link.day.isoformat())
        try:
            with self._database.caller_transaction(caller) as session:
                if not _is_recorded(session, entry):
                    audit_trail.append_audit_event(session, entry)
        except IntegrityError as error:
            if not _is_duplicate_link_event(error):
                raise
        if len(self._recorded_links) >= _MAX_CACHED_LINKS:
            self._recorded_links.clear()
        self._recorded_links.add((caller.actor, link))

    def get_download_url(self, caller: Caller, export_id: UUID, now: datetime, version: int | None = None) -> str:
        """Return a URL for an immediate download, and write the audit event of the download.

        For a report's version, the event names the version, and browsers save the file under the version's own name.
        """
        detail = {} if version is None else {"version": version}
        with self._database.caller_transaction(caller) as session:
            export = get_downloadable_export(session, caller, export_id)
            audit_trail.append_audit_event(session, build_audit_entry(caller, export, FILE_DOWNLOADED, **detail))
        return self._sign_link(get_downloadable_file(export), now, version or 1).url

    def open_file(self, caller: Caller, export: Export) -> BinaryIO:
        """Open the file for reading; the caller closes it."""
        file = get_downloadable_file(export)
        with self._database.caller_transaction(caller) as session:
            audit_trail.append_audit_event(session, build_audit_entry(caller, export, FILE_DOWNLOADED))
        return self._storage.open(file.key)

    def _sign_link(self, file: ReportFile, now: datetime, version: int = 1) -> DownloadLink:
        return DownloadLink(*self._storage.presign_url(file.key, name_version(file.name, version), now))


def build_audit_entry(caller: Caller, export: Export, event: str, **extra_detail: str | int) -> AuditEntry:
    detail: EventDetail = {"attempt": export.attempt, "sha256": get_downloadable_file(export).sha256, **extra_detail}
    return AuditEntry(org_id=export.org_id, actor=caller.actor, event=event, subject_id=export.id, detail=detail)


def _is_recorded(session: Session, entry: AuditEntry) -> bool:
    """Return whether the event exists, by the partial unique index that prevents duplicates."""
    conditions = (
        col(AuditEvent.org_id) == entry.org_id,
        col(AuditEvent.subject_id) == entry.subject_id,
        col(AuditEvent.event)
        == literal_column(f"'{LINK_ISSUED}'"),  # a literal, because the planner must match the partial index
        col(AuditEvent.actor) == entry.actor,
        col(AuditEvent.detail)["day"].astext == entry.detail["day"],
        col(AuditEvent.detail)["sha256"].astext == entry.detail["sha256"],
    )
    return session.exec(select(AuditEvent.seq).where(*conditions)).first() is not None


def _is_duplicate_link_event(error: IntegrityError) -> bool:
    """Return whether a concurrent request of the same user wrote the event first."""
    diagnostics = getattr(error.orig, "diag", None)
    return getattr(diagnostics, "constraint_name", None) == "audit_events_one_link_per_day"
