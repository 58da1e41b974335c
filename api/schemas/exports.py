"""Requests and responses for exports, audit events and column mappings."""

from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from stafett.database.tables import AuditEvent, Export
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.export import (
    CsvProfile,
    ExportCounts,
    ExportFormat,
    ExportOrigin,
    ExportParameters,
    ExportRequest,
    Locale,
    OrgId,
    PartialFailureReport,
)
from stafett.domain.export_outputs import ExportWarning, MappingVersion, NotCountableReason
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.fields import UtcDatetime
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import OSLO, DayOrInstant, ReportingPeriod
from stafett.exports.service import ExportDetails
from stafett.exports.state import build_progress

_EXPORT_EXAMPLE: dict[str, Any] = {
    "org_id": "nhf",
    "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
    "export_format": "xlsx",
    "include_attachments": True,
}


DOWNLOAD_URL_DESCRIPTION = (
    "Signed URL of the file, valid for at least 24 hours and without a token. "
    "Null if there is no file or if the caller may not download it."
)


NextPageToken = Annotated[str | None, Field(description="`page_token` of the next page; null on the last page.")]


class Resource(BaseModel):
    """Base of response models, built from rows that have more fields."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


class ExportCreate(ExportParameters):
    """The body of `POST /bufdir-exports`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXPORT_EXAMPLE]})

    org_id: OrgId = Field(description="Id of the organisation to export for.")
    requesting_user_id: str | None = Field(
        None, description="Id of the requesting user. If given, it must be the caller's own."
    )

    def to_request(self, caller: Caller) -> ExportRequest:
        if self.requesting_user_id is not None and self.requesting_user_id.lower() != str(caller.user_id):
            raise PermissionDeniedError("requesting_user_id must be the id of the caller.")
        return ExportRequest.model_validate(self.model_dump() | {"requesting_user_id": caller.user_id})


class PreviewCreate(ExportCreate):
    """The body of `POST /bufdir-exports/preview`."""

    mapping: dict[str, Any] | None = Field(
        None,
        description=(
            "Only for administrators: a mapping document to apply in place of the one in force. It is not published, "
            "and the preview has the mapping version 0."
        ),
    )

    def to_request(self, caller: Caller) -> ExportRequest:
        return ExportCreate.model_validate(self.model_dump(exclude={"mapping"})).to_request(caller)


_WORKER = "worker"


class Progress(Resource):
    stage: ExportStatus = Field(description="The running stage.")
    done: int = Field(description="Number of rows or items that the stage has processed.")
    total: int = Field(description="Number of rows or items in the stage; 0 if not known yet.")
    waiting_for: str | None = Field(description="The unavailable service or worker that the job waits for, if any.")
    updated_at: AwareDatetime


class File(Resource):
    name: str
    mime_type: str
    size_bytes: int
    sha256: str = Field(description="SHA-256 of the file's bytes, in hexadecimal.")
    content_sha256: str = Field(
        description="SHA-256 of the mapped content. It stays the same if a later software version writes other bytes."
    )


class JobError(Resource):
    """The reason why a job failed."""

    code: ExportErrorCode
    message: str = Field(description="Explanation for people.")
    retryable: bool = Field(description="Whether a retry can succeed without any correction.")


class Attempt(Resource):
    """One run of an export. A retry adds an attempt."""

    number: int = Field(description="1 for the first attempt.")
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = Field(description="Null while the attempt runs.")
    outcome: str | None = Field(description="Final status of the attempt; null while it runs.")
    resumed_from: ExportStatus | None = Field(description="Stage at which a retry resumed; null if it started over.")
    stages_reused: tuple[ExportStatus, ...] = Field(
        description="Stages whose results were taken over from an earlier attempt."
    )


class ExportSummary(Resource):
    """An export without its download link, attempts and partial failures."""

    id: UUID
    org_id: str
    requested_by: UUID = Field(description="Id of the user who requested the export.")
    reporting_period: ReportingPeriod
    export_format: ExportFormat
    locale: Locale = Field(description="Language of the report.")
    include_attachments: bool = Field(description="Whether the file is a ZIP archive with the activities' attachments.")
    fail_on_empty: bool = Field(description="Whether an export without activities fails.")
    csv_profile: CsvProfile = Field(description="CSV dialect; only relevant for CSV.")
    status: ExportStatus
    progress: Progress | None = Field(description="Progress of the running stage; null if there is none.")
    row_count: int | None = Field(description="Number of rows in the report; null until the export has completed.")
    counts: ExportCounts | None = Field(description="Row counts; null until the rows are mapped.")
    not_countable: tuple[NotCountableReason, ...] | None = Field(
        description="Reasons why activities do not count; null until the rows are mapped."
    )
    warnings: tuple[ExportWarning, ...] = Field(description="What to consider before submitting the report.")
    file: File | None = Field(description="The report file; null until the export has completed.")
    audit_id: UUID = Field(description="Id of the audit event that recorded the request.")
    report_id: UUID | None = Field(description="Id of the entry in the report history, once there is one.")
    origin: ExportOrigin
    reexport_id: UUID | None = Field(description="Id of the re-export that this export belongs to, if any.")
    mapping: MappingVersion | None = Field(description="Version of the column mapping that was applied.")
    partial_failure_count: int = Field(description="Number of partial failures, including those not listed.")
    error: JobError | None = Field(description="Why the export failed; null otherwise.")
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None = Field(description="When the export reached a final status.")

    @classmethod
    def from_row(cls, export: Export, **extra: object) -> Self:
        counts = ExportCounts.model_validate(export.counts) if export.counts else None
        is_successful = export.status in {ExportStatus.COMPLETED, ExportStatus.COMPLETED_EMPTY}
        values = export.model_dump() | export.parameters | extra
        values["row_count"] = (counts.written if counts else 0) if is_successful else None
        # The row has the file earlier, but clients get it only after its audit event is committed.
        values["file"] = export.file if export.status is ExportStatus.COMPLETED else None
        if export.status is ExportStatus.INITIALISED:
            waiting_for = (export.progress or {}).get("waiting_for") or _WORKER
            progress = build_progress(ExportStatus.INITIALISED, 0, 0, export.updated_at)
            values["progress"] = progress | {"waiting_for": waiting_for}
        return cls.model_validate(values)


class ExportResource(ExportSummary):
    """An export with its download link, attempts and partial failures."""

    partial_failures: tuple[PartialFailureReport, ...] = Field(
        description="Rows that were not exported unchanged, at most 1000 entries."
    )
    attempts: tuple[Attempt, ...] = Field(description="Attempts, oldest first.")
    download_url: str | None = Field(None, description=DOWNLOAD_URL_DESCRIPTION)
    download_url_expires_at: AwareDatetime | None = Field(None, description="When the signed URL expires.")

    @classmethod
    def from_details(cls, details: ExportDetails, link: tuple[str, datetime] | None = None) -> Self:
        url, expires_at = link or (None, None)
        return cls.from_row(
            details.export,
            attempts=[attempt.model_dump() for attempt in details.attempts],
            partial_failures=details.partial_failures,
            download_url=url,
            download_url_expires_at=expires_at,
        )


class ExportPage(Resource):
    """A page of exports, newest first."""

    items: tuple[ExportSummary, ...]
    next_page_token: NextPageToken = None


class AuditEventResource(Resource):
    """An event of the organisation's audit chain."""

    seq: int = Field(description="Position in the organisation's audit chain.")
    at: UtcDatetime = Field(description="When the event was recorded.")
    actor: str = Field(
        description=(
            "Who caused the event: `user:` or `api_key:` and an id, or `system:` and the name of a part of the system."
        )
    )
    event: str = Field(description="Name of the event.")
    status: str | None = Field(description="Status of the job after the event.")
    detail: dict[str, Any] = Field(description="Further facts of the event: identifiers, codes and counts.")
    hash: str = Field(description="Hash of this event and `previous_hash`.")
    previous_hash: str = Field(description="Hash of the event before it in the chain.")

    @classmethod
    def from_row(cls, event: AuditEvent) -> Self:
        return cls.model_validate(event.model_dump())


class AuditEventPage(Resource):
    """A page of an export's audit events, oldest first."""

    items: tuple[AuditEventResource, ...]
    next_page_token: NextPageToken = None


class MappingQuery(FrozenModel):
    """Query parameters of `GET /organisations/{org_id}/column-mapping`; without them, today's version."""

    at: DayOrInstant | None = Field(
        None, description="The version in force on this date or at this time. Excludes `version`."
    )
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="The version with this number. Excludes `at`.")

    @property
    def day(self) -> date | None:
        return self.at.astimezone(OSLO).date() if isinstance(self.at, datetime) else self.at

    @model_validator(mode="after")
    def _check_exclusive(self) -> Self:
        if self.at is not None and self.version is not None:
            raise ValueError("Specify either `at` or `version`, not both")
        return self


class MappingResource(Resource):
    """A version of an organisation's column mapping."""

    org_id: str
    version: int = Field(description="Number of the version, from 1.")
    effective_from: date = Field(description="First day on which the version is in force.")
    sha256: str = Field(description="SHA-256 of the document's canonical JSON.")
    created_by: UUID | None = Field(description="Id of the user who added the version; null for a predefined one.")
    created_at: AwareDatetime
    document: dict[str, Any] = Field(description="The mapping document.")
