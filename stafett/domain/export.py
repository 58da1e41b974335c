"""Exports: the request, its parameters, counts and partial failures, and the result."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import Annotated, BinaryIO, Literal, Protocol, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, PrivateAttr, StrictBool

from stafett.domain.export_status import ExportErrorCode
from stafett.domain.frozen import FrozenModel, PayloadModel
from stafett.domain.reporting_period import ReportingPeriod

MAX_PARTIAL_FAILURES = 1000
MAX_AFFECTED_ROWS = 1000

OrgId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Locale = Literal["nb", "nn", "en"]
CsvProfile = Literal["excel", "machine"]


class ExportOrigin(StrEnum):
    """Origin of an export: a new report, or a re-export that adds a version to an existing report."""

    REPORT = "report"
    REEXPORT = "reexport"


class ExportFormat(StrEnum):
    """File format of a report."""

    CSV = "csv"
    XLSX = "xlsx"

    @property
    def mime_type(self) -> str:
        match self:
            case ExportFormat.CSV:
                return "text/csv"
            case ExportFormat.XLSX:
                return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class ExportParameters(FrozenModel):
    """Parameters that determine the file. They are stored, so that the report can be re-exported."""

    reporting_period: ReportingPeriod = Field(description="Activities that start in this period are exported.")
    export_format: ExportFormat = Field(description="Format of the report file.")
    locale: Locale = Field("nb", description="Language of the report: Bokmål, Nynorsk or English.")
    include_attachments: StrictBool = Field(
        default=False, description="Bundle the activities' attachments and the report in a ZIP archive."
    )
    fail_on_empty: StrictBool = Field(
        default=False, description="If there are no activities, fail with `no_data_for_period`."
    )
    csv_profile: CsvProfile = Field(
        "excel", description="CSV dialect: `excel` for Excel with Norwegian settings, `machine` for programs."
    )


class ExportRequest(ExportParameters):
    """Request of a user for an export of an organisation."""

    org_id: OrgId
    requesting_user_id: UUID

    @property
    def parameters(self) -> ExportParameters:
        return ExportParameters.model_validate(self.model_dump(include=set(ExportParameters.model_fields)))


class ExportCounts(PayloadModel):
    """Row counts of an export, which account for every queried row."""

    queried: int = Field(0, ge=0, description="Activities in the period.")
    written: int = Field(0, ge=0, description="Rows in the report.")
    countable: int = Field(0, ge=0, description="Activities that count.")
    not_countable: int = Field(0, ge=0, description="Activities that do not count.")
    rejected: int = Field(0, ge=0, description="Activities left out because a column could not be filled.")
    events: int = Field(
        0,
        ge=0,
        description="Events that the activities that count belong to; less than `countable` if several mentors were"
        " registered for one event.",
    )


class PartialFailureReport(PayloadModel):
    """Rows that could not be exported as they are, and the reason. The export can still succeed."""

    affected_row_indices: Annotated[tuple[int, ...], Field(max_length=MAX_AFFECTED_ROWS)] = Field(
        (), description="0-based indices of the rows in query order, at most 1000."
    )
    affected_activity_ids: Annotated[tuple[UUID, ...], Field(max_length=MAX_AFFECTED_ROWS)] = Field(
        (), description="Ids of the activities of these rows."
    )
    affected_count: int = Field(ge=0, description="Number of affected rows, including those not listed.")
    failure_reason: str = Field(description="Explanation for people, in the export's locale.")
    code: str = Field(description="Stable code of the reason.")
    column: str | None = Field(None, description="Id of the report column, if one is concerned.")
    sub_service_name: str = Field(description="The part of the system that reported the failure.")
    is_fatal: bool = Field(default=False, description="Whether the affected rows were left out of the report.")

    @classmethod
    def truncate(cls, reports: Iterable[Self]) -> tuple[Self, ...]:
        """Return at most ``MAX_PARTIAL_FAILURES`` reports. If there are more, the last one summarises the rest."""
        all_reports = tuple(reports)
        if len(all_reports) <= MAX_PARTIAL_FAILURES:
            return all_reports
        listed, rest = all_reports[: MAX_PARTIAL_FAILURES - 1], all_reports[MAX_PARTIAL_FAILURES - 1 :]
        summary = cls(
            affected_count=sum(report.affected_count for report in rest),
            failure_reason=f"{len(rest)} more",
            code="summary",
            sub_service_name="bufdir-export-orchestrator",
            is_fatal=any(report.is_fatal for report in rest),
        )
        return (*listed, summary)


class DownloadArtifact(FrozenModel):
    """A finished file that is fetched when it is opened, and never cached."""

    file_name: str
    mime_type: str
    file_size_bytes: int = Field(ge=0)
    _fetch: Callable[[], BinaryIO] = PrivateAttr()

    @classmethod
    def from_fetcher(cls, fetch: Callable[[], BinaryIO], *, file_name: str, mime_type: str, size: int) -> Self:
        artifact = cls(file_name=file_name, mime_type=mime_type, file_size_bytes=size)
        artifact._fetch = fetch
        return artifact

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file as a stream, and close it at the end of the block."""
        with closing(self._fetch()) as stream:
            yield stream


class ExportSuccess(FrozenModel):
    """Result of an export that completed, with or without rows."""

    outcome: Literal["success"] = "success"
    audit_id: UUID
    row_count: int = Field(ge=0)
    download_artifact: DownloadArtifact | None
    download_url: str | None
    partial_failures: Annotated[tuple[PartialFailureReport, ...], Field(max_length=MAX_PARTIAL_FAILURES)] = ()
    completed_at: AwareDatetime


class ExportFailure(FrozenModel):
    """Result of an export that produced no report, with the reason."""

    outcome: Literal["failure"] = "failure"
    audit_id: UUID | None
    error_code: ExportErrorCode
    message: str
    failed_at: AwareDatetime


ExportResult = Annotated[ExportSuccess | ExportFailure, Field(discriminator="outcome")]


class ExportOrchestrator(Protocol):
    """Service that runs an export and returns its result."""

    async def export(self, request: ExportRequest) -> ExportSuccess | ExportFailure: ...
