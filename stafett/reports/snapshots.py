"""The snapshots that versions of a report were made from, and whether they can be worked from again."""

from uuid import UUID

from sqlmodel import Session

from stafett.database.tables import Export, Report, ReportFileVersion
from stafett.domain.errors import InvalidFieldError, SnapshotGoneError
from stafett.domain.reexport import ReexportRequest

SNAPSHOT_GONE_MESSAGE = (
    "The rows that this version was made from are kept no longer; it can be made again from current data."
)


def get_snapshot_or_410(session: Session, report: Report, request: ReexportRequest) -> UUID:
    """The export whose snapshot this request takes over; a snapshot lives as long as its file."""
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
            "This version was made without attachments, so its snapshot has none; current_data has them.",
        )
    return export.id


def is_expired(export: Export) -> bool:
    return export.files_removed_at is not None or export.deleted_at is not None
