"""Responses for report re-exports."""

from typing import Self
from uuid import UUID

from pydantic import AwareDatetime, Field

from api.schemas.exports import DOWNLOAD_URL_DESCRIPTION, File, JobError, NextPageToken, Progress, Resource
from stafett.domain.membership import Caller
from stafett.domain.reexport import ReexportOverrides, ReexportSource
from stafett.domain.reexport_status import ReexportStatus
from stafett.exports.downloads import DownloadLink
from stafett.reports.reexports import ReexportDetails

_FREE_TEXT_FIELDS = ("label", "reason", "result_file_ref")


class ReexportSummary(Resource):
    """A re-export without its download link."""

    id: UUID
    org_id: str
    report_id: UUID
    requested_by: UUID = Field(description="Id of the user who requested the re-export.")
    source: ReexportSource
    version: int = Field(description="The file version that `same_snapshot` repeats.")
    reason: str | None = Field(description="The reason that the user gave; null for operators.")
    overrides: ReexportOverrides
    status: ReexportStatus
    progress: Progress | None = Field(description="Progress of the child export; null if there is none.")
    export_id: UUID | None = Field(description="Id of the child export, once it is created.")
    file: File | None = Field(description="The new file; null until the re-export has completed.")
    file_version: int | None = Field(description="Number of the file version in the report history.")
    unchanged: bool = Field(
        description="Whether nothing has changed since the newest version, so that no version was added."
    )
    result_file_ref: str | None = Field(
        description="Storage key of the object that the result is downloaded from; null for operators."
    )
    label: str | None = Field(description="The label that a user gave; null for operators.")
    notified_at: AwareDatetime | None = Field(description="When the user was notified of the result.")
    audit_id: UUID = Field(description="Id of the audit event that recorded the request.")
    error: JobError | None = Field(description="Why the re-export failed; null otherwise.")
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None = Field(description="When the re-export reached a final status.")

    @classmethod
    def from_details(cls, details: ReexportDetails, caller: Caller, **extra: object) -> Self:
        """Build the summary; an operator gets no text that a user wrote."""
        row, hidden = details.reexport, dict.fromkeys(_FREE_TEXT_FIELDS) if caller.is_operator else {}
        # `details.file` is set only for a completed job, so that no client sees the file earlier.
        file = details.file.model_dump() if details.file else None
        request = {name: row.request[name] for name in ("source", "version", "reason", "overrides")}
        values = row.model_dump() | request | {"file": file, "result_file_ref": file["key"] if file else None}
        values["progress"] = details.progress
        return cls.model_validate(values | hidden | extra)


class ReexportResource(ReexportSummary):
    """A re-export with its download link."""

    download_url: str | None = Field(None, description=DOWNLOAD_URL_DESCRIPTION)
    download_url_expires_at: AwareDatetime | None = Field(None, description="When the signed URL expires.")

    @classmethod
    def from_details_and_link(cls, details: ReexportDetails, caller: Caller, link: DownloadLink | None) -> Self:
        url, expires_at = link or (None, None)
        return cls.from_details(details, caller, download_url=url, download_url_expires_at=expires_at)


class ReexportPage(Resource):
    """A page of re-exports, newest first."""

    items: tuple[ReexportSummary, ...]
    next_page_token: NextPageToken = None
