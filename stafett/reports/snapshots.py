"""Snapshots that versions of a report were exported from, and whether they are still stored."""

from uuid import UUID

from sqlmodel import Session

from stafett.database.tables import Export, Report, ReportFileVersion
from stafett.domain.errors import InvalidFieldError, SnapshotGoneError
from stafett.domain.reexport import ReexportRequest

SNAPSHOT_GONE_MESSAGE = "The snapshot of this version is no longer stored; re-export the report from current_data."


def get_snapshot_or_410(session: Session, report: Report, request: ReexportRequest) -> UUID:
    """Return the export whose snapshot the request repeats; a snapshot is stored as long as its file."""
    version = session.get(ReportFileVersion, (report.id, request.version))
    if version is None:
        raise InvalidFieldError("version", "unknown_version", "The report has no such version.")
    export = session.get_one(Export, version.export_id)
    if is_expired(export):
        raise SnapshotGoneError(SNAPSHOT_GONE_MESSAGE)
    if request.overrides.include_attachments and not export.parameters.get("include_attachments", False):
        raise InvalidFieldError(
            "overrides/include_attachments",
            "no_attachments_in_snapshot",
            "This version was exported without attachments, so its snapshot has none; use current_data instead.",
        )
    return export.id


def is_expired(export: Export) -> bool:
    return export.removal_started_at is not None or export.deleted_at is not None
