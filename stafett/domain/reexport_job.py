"""Arguments and results of the workflow ``ReportReexport`` and its activities: ids and codes, never rows or reasons."""

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime

from stafett.domain.export import ExportParameters, OrgId
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.frozen import PayloadModel
from stafett.domain.job import JobKind
from stafett.domain.reexport import ReexportOverrides
from stafett.domain.reexport_status import ReexportStatus
from stafett.domain.reporting_period import OSLO


class ReexportJob(PayloadModel):
    """One re-export of a report. A report's re-exports share a workflow id, and ``attempt`` distinguishes them."""

    reexport_id: UUID
    report_id: UUID
    org_id: OrgId
    attempt: int
    period_start: AwareDatetime
    period_end: AwareDatetime

    @property
    def kind(self) -> JobKind:
        return JobKind.REPORT_REEXPORT

    @property
    def job_id(self) -> UUID:
        return self.reexport_id

    @property
    def workflow_id(self) -> str:
        return f"report-reexport/{self.report_id}"

    @property
    def period(self) -> tuple[datetime, datetime]:
        return self.period_start, self.period_end

    @property
    def initial_status(self) -> str:
        return ReexportStatus.PENDING

    @property
    def summary(self) -> str:
        first, last = (moment.astimezone(OSLO).date() for moment in self.period)
        return f"Re-export of a report of {self.org_id}, {first} to {last}"


class HistoricalRecord(PayloadModel):
    """A report's stored parameters, and the overrides of this re-export."""

    job: ReexportJob
    parameters: ExportParameters
    overrides: ReexportOverrides
    source_export_id: UUID | None = None
    """The export whose snapshot is reused, or None for current data."""


class RecordReexportFailureInput(PayloadModel):
    """The job to fail, and the reason, unless its failed export has a more specific one."""

    job: ReexportJob
    code: ExportErrorCode
    message: str
    retryable: bool


class ReexportUpdateInput(PayloadModel):
    """Argument of the update that announces an edit. It has no text, because payloads must not contain user input."""

    edits: int
    notification_sent: bool | None = None


class ReexportProgress(PayloadModel):
    """Result of the query ``progress``."""

    stage: ReexportStatus
    export_id: UUID | None = None


class ReexportOutcome(PayloadModel):
    """Result of the workflow."""

    status: ReexportStatus
    has_deliveries: bool = True
    """Whether there may be notifications to deliver."""
