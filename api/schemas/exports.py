"""What goes over the wire: the resources of the contract, built from rows."""

from datetime import date, datetime
from typing import Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from api.paging import MAX_TOKEN_LENGTH, ListQuery
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


class Resource(BaseModel):
    """What is answered; built from rows that know more."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


class ExportCreate(ExportParameters):
    """The body that starts an export."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXPORT_EXAMPLE]})

    org_id: OrgId
    requesting_user_id: str | None = Field(None, description="The token's user; any other is refused.")

    def to_request(self, caller: Caller) -> ExportRequest:
        if self.requesting_user_id is not None and self.requesting_user_id.lower() != str(caller.user_id):
            raise PermissionDeniedError("An export is asked for in one's own name.")
        return ExportRequest.model_validate(self.model_dump() | {"requesting_user_id": caller.user_id})


_WAITING_FOR_WORKER = {"waiting_for": "A worker"}


class ExportListQuery(ListQuery):
    """Which exports a list shows."""

    status: ExportStatus | None = None


class Progress(Resource):
    stage: ExportStatus
    done: int
    total: int
    waiting_for: str | None
    updated_at: AwareDatetime


class File(Resource):
    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    content_sha256: str


class JobError(Resource):
    code: ExportErrorCode
    message: str
    retryable: bool


class Attempt(Resource):
    number: int
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    outcome: str | None
    resumed_from: ExportStatus | None
    stages_reused: tuple[ExportStatus, ...]


class ExportSummary(Resource):
    """An export as lists show it: everything but its link, its attempts and its partial failures."""

    id: UUID
    org_id: str
    requested_by: UUID
    reporting_period: ReportingPeriod
    export_format: ExportFormat
    locale: Locale
    include_attachments: bool
    fail_on_empty: bool
    csv_profile: CsvProfile
    status: ExportStatus
    progress: Progress | None
    row_count: int | None
    counts: ExportCounts | None
    not_countable: tuple[NotCountableReason, ...] | None
    warnings: tuple[ExportWarning, ...]
    file: File | None
    audit_id: UUID
    report_id: UUID | None
    origin: ExportOrigin
    reexport_id: UUID | None
    mapping: MappingVersion | None
    partial_failure_count: int
    error: JobError | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None

    @classmethod
    def from_row(cls, export: Export, **extra: object) -> Self:
        counts = ExportCounts.model_validate(export.counts) if export.counts else None
        finished = export.status in {ExportStatus.COMPLETED, ExportStatus.COMPLETED_EMPTY}
        shown = export.model_dump() | export.parameters | extra
        shown["row_count"] = (counts.written if counts else 0) if finished else None
        # The file is there for people once its audit stands, and not before.
        shown["file"] = export.file if export.status is ExportStatus.COMPLETED else None
        if export.status is ExportStatus.INITIALISED:
            shown["progress"] = build_progress(ExportStatus.INITIALISED, 0, 0, export.updated_at) | _WAITING_FOR_WORKER
        return cls.model_validate(shown)


class ExportResource(ExportSummary):
    """An export in full."""

    partial_failures: tuple[PartialFailureReport, ...]
    attempts: tuple[Attempt, ...]
    download_url: str | None = None
    download_url_expires_at: AwareDatetime | None = None

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
    """One page of a list, newest first."""

    items: tuple[ExportSummary, ...]
    next_page_token: str | None = None


class AuditEventListQuery(FrozenModel):
    """Which of an export's events are wanted."""

    page_size: int = Field(50, ge=1, le=200)
    page_token: str | None = Field(None, max_length=MAX_TOKEN_LENGTH)


class AuditEventResource(Resource):
    """One event of the organisation's chain."""

    seq: int
    at: UtcDatetime
    actor: str
    event: str
    status: str | None
    detail: dict[str, Any]
    hash: str
    previous_hash: str

    @classmethod
    def from_row(cls, event: AuditEvent) -> Self:
        return cls.model_validate(event.model_dump())


class AuditEventPage(Resource):
    """One page of an export's events, oldest first."""

    items: tuple[AuditEventResource, ...]
    next_page_token: str | None = None


class MappingQuery(FrozenModel):
    """Which version of a mapping is wanted; today's, unless something is said."""

    at: DayOrInstant | None = Field(None, description="The one in force on this day, or at this time.")
    version: int | None = Field(None, ge=1, le=2**31 - 1)

    @property
    def day(self) -> date | None:
        return self.at.astimezone(OSLO).date() if isinstance(self.at, datetime) else self.at

    @model_validator(mode="after")
    def _check_exclusive(self) -> Self:
        if self.at is not None and self.version is not None:
            raise ValueError("either a day or a version")
        return self


class MappingResource(Resource):
    """A version of an organisation's column mapping."""

    org_id: str
    version: int
    effective_from: date
    sha256: str
    created_by: UUID | None
    created_at: AwareDatetime
    document: dict[str, Any]
