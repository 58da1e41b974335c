"""Re-exports as they go over the wire."""

from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from api.paging import PageQuery
from api.schemas.exports import File, JobError, Progress, Resource
from stafett.domain.membership import Caller
from stafett.domain.reexport import ReexportOverrides, ReexportSource
from stafett.domain.reexport_status import ReexportStatus
from stafett.exports.downloads import DownloadLink
from stafett.reports.reexports import ReexportDetails


class ReexportQuery(PageQuery):
    """Which re-exports a list shows."""

    status: ReexportStatus | None = None
    report_id: UUID | None = None


_OWN_WORDS = ("label", "reason", "result_file_ref")


class ReexportListed(Resource):
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
    def of(cls, found: ReexportDetails, caller: Caller, **more: object) -> Self:
        """What people wrote in their own words is their organisation's, and no operator's."""
        row, hidden = found.reexport, dict.fromkeys(_OWN_WORDS) if caller.is_operator else {}
        # The file is there for people once the job is done, and not before.
        file = found.file.model_dump() if found.file else None
        asked = {name: row.request[name] for name in ("source", "version", "reason", "overrides")}
        shown = row.model_dump() | asked | {"file": file, "result_file_ref": file["key"] if file else None}
        shown["progress"] = found.progress
        return cls.model_validate(shown | hidden | more)


class ReexportResource(ReexportListed):
    """A re-export in full."""

    download_url: str | None = None
    download_url_expires_at: AwareDatetime | None = None

    @classmethod
    def whole(cls, found: ReexportDetails, caller: Caller, link: DownloadLink | None) -> Self:
        url, expires_at = link or (None, None)
        return cls.of(found, caller, download_url=url, download_url_expires_at=expires_at)


class ReexportPage(Resource):
    """One page of a list, newest first."""

    items: tuple[ReexportListed, ...]
    next_page_token: str | None = None
