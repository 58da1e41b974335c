"""An export, told whole: what is asked for, what comes out, and what can be wrong with it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import Annotated, BinaryIO, Literal, Protocol, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, PrivateAttr, StrictBool

from stafett.domain.export_status import ExportErrorCode
from stafett.domain.frozen import FrozenModel
from stafett.domain.reporting_period import ReportingPeriod

MAX_PARTIAL_FAILURES = 1000
MAX_AFFECTED_ROWS = 1000

OrgId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Locale = Literal["nb", "nn", "en"]
CsvProfile = Literal["excel", "machine"]


class ExportOrigin(StrEnum):
    """For what an export is made: a report of its own, or a further version of one that is there."""

    REPORT = "report"
    REEXPORT = "reexport"


class ExportFormat(StrEnum):
    """The kinds of file an organisation can hand in."""

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
    """What shapes the file, apart from whose rows they are: kept, so that the report can be made again."""

    reporting_period: ReportingPeriod
    export_format: ExportFormat
    locale: Locale = "nb"
    include_attachments: StrictBool = False
    fail_on_empty: StrictBool = False
    csv_profile: CsvProfile = "excel"


class ExportRequest(ExportParameters):
    """One press of the button, by one user, for one organisation."""

    org_id: OrgId
    requesting_user_id: UUID

    @property
    def parameters(self) -> ExportParameters:
        return ExportParameters.model_validate(self.model_dump(include=set(ExportParameters.model_fields)))


class ExportCounts(FrozenModel):
    """What became of the rows; none is ever lost silently."""

    queried: int = Field(0, ge=0)
    written: int = Field(0, ge=0)
    countable: int = Field(0, ge=0)
    not_countable: int = Field(0, ge=0)
    rejected: int = Field(0, ge=0)


class PartialFailureReport(FrozenModel):
    """Rows that could not be exported as they are, and why; the export is a success all the same."""

    affected_row_indices: Annotated[tuple[int, ...], Field(max_length=MAX_AFFECTED_ROWS)] = ()
    affected_activity_ids: Annotated[tuple[UUID, ...], Field(max_length=MAX_AFFECTED_ROWS)] = ()
    affected_count: int = Field(ge=0)
    failure_reason: str
    code: str
    column: str | None = None
    sub_service_name: str
    is_fatal: bool = False

    @classmethod
    def truncate(cls, reports: Iterable[Self]) -> tuple[Self, ...]:
        """At most a thousand of them; the last then sums up the rest."""
        every = tuple(reports)
        if len(every) <= MAX_PARTIAL_FAILURES:
            return every
        kept, rest = every[: MAX_PARTIAL_FAILURES - 1], every[MAX_PARTIAL_FAILURES - 1 :]
        summary = cls(
            affected_count=sum(report.affected_count for report in rest),
            failure_reason=f"{len(rest)} more",
            code="summary",
            sub_service_name="bufdir-export-orchestrator",
            is_fatal=any(report.is_fatal for report in rest),
        )
        return (*kept, summary)


class DownloadArtifact(FrozenModel):
    """A finished file that is fetched only when it is opened, and of which nothing is kept."""

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
        """The bytes as a stream, closed again at the end of the block."""
        with closing(self._fetch()) as stream:
            yield stream


class ExportSuccess(FrozenModel):
    """The report is there, or there was nothing to report."""

    outcome: Literal["success"] = "success"
    audit_id: UUID
    row_count: int = Field(ge=0)
    download_artifact: DownloadArtifact | None
    download_url: str | None
    partial_failures: Annotated[tuple[PartialFailureReport, ...], Field(max_length=MAX_PARTIAL_FAILURES)] = ()
    completed_at: AwareDatetime


class ExportFailure(FrozenModel):
    """No report, and the reason."""

    outcome: Literal["failure"] = "failure"
    audit_id: UUID | None
    error_code: ExportErrorCode
    message: str
    failed_at: AwareDatetime


ExportResult = Annotated[ExportSuccess | ExportFailure, Field(discriminator="outcome")]


class ExportOrchestrator(Protocol):
    """The single button: press it, and learn how it ended."""

    async def export(self, request: ExportRequest) -> ExportSuccess | ExportFailure: ...
