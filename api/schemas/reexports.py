"""Re-exports as they go over the wire."""

from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from api.paging import ListQuery
from api.schemas.exports import File, JobError, Progress, Resource
from stafett.domain.membership import Caller
from stafett.domain.reexport import ReexportOverrides, ReexportSource
from stafett.domain.reexport_status import ReexportStatus
from stafett.exports.downloads import DownloadLink
from stafett.reports.reexports import ReexportDetails


class ReexportListQuery(ListQuery):
    """Which re-exports a list shows."""

    status: ReexportStatus | None = None
    report_id: UUID | None = None


_FREE_TEXT_FIELDS = ("label", "reason", "result_file_ref")


class ReexportSummary(Resource):
    """A re-export as lists show it: everything but its link."""

    id: UUID
    org_id: str
    report_id: UUID
    requested_by: UUID
    source: ReexportSource
    version: int
    reason: str | None
    overrides: ReexportOverrides
    status: ReexportStatus
    progress: Progress | None
    export_id: UUID | None
    file: File | None
    file_version: int | None
    result_file_ref: str | None
    label: str | None
    notified_at: AwareDatetime | None
    audit_id: UUID
    error: JobError | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None

    @classmethod
    def from_details(cls, details: ReexportDetails, caller: Caller, **extra: object) -> Self:
        """What people wrote in their own words is their organisation's, and no operator's."""
        row, hidden = details.reexport, dict.fromkeys(_FREE_TEXT_FIELDS) if caller.is_operator else {}
        # The file is there for people once the job is done, and not before.
        file = details.file.model_dump() if details.file else None
        asked = {name: row.request[name] for name in ("source", "version", "reason", "overrides")}
        shown = row.model_dump() | asked | {"file": file, "result_file_ref": file["key"] if file else None}
        shown["progress"] = details.progress
        return cls.model_validate(shown | hidden | extra)


class ReexportResource(ReexportSummary):
    """A re-export in full."""

    download_url: str | None = None
    download_url_expires_at: AwareDatetime | None = None

    @classmethod
    def from_details_and_link(cls, details: ReexportDetails, caller: Caller, link: DownloadLink | None) -> Self:
        url, expires_at = link or (None, None)
        return cls.from_details(details, caller, download_url=url, download_url_expires_at=expires_at)


class ReexportPage(Resource):
    """One page of a list, newest first."""

    items: tuple[ReexportSummary, ...]
    next_page_token: str | None = None
