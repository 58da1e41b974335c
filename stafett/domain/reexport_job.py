"""What travels between the gateway, ``ReportReexport`` and its activities: ids and codes, never rows or reasons."""

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime

from stafett.domain.export import ExportParameters, OrgId
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.frozen import FrozenModel
from stafett.domain.job import JobKind
from stafett.domain.reexport import ReexportOverrides
from stafett.domain.reexport_status import ReexportStatus
from stafett.domain.reporting_period import OSLO


class ReexportJob(FrozenModel):
    """One re-export of a report. They follow one another under its workflow id: ``attempt`` tells them apart."""

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
    def summary(self) -> str:
        first, last = (moment.astimezone(OSLO).date() for moment in self.period)
        return f"Re-export of a report of {self.org_id}, {first} to {last}"


class HistoricalRecord(FrozenModel):
    """What the history knows of a report, and what this job wants otherwise."""

    job: ReexportJob
    parameters: ExportParameters
    overrides: ReexportOverrides
    source_export_id: UUID | None = None
    """The export whose snapshot is taken, if today's rows are not."""


class RecordReexportFailureInput(FrozenModel):
    """A job and the reason that ends it, unless its export knows a better one."""

    job: ReexportJob
    code: ExportErrorCode
    message: str
    retryable: bool


class ReexportUpdateInput(FrozenModel):
    """What a run is told of an edit: that there was one, for what was written is nobody's business there."""

    edits: int
    notification_sent: bool | None = None


class ReexportProgress(FrozenModel):
    """What the query ``progress`` answers."""

    stage: ReexportStatus
    export_id: UUID | None = None


class ReexportOutcome(FrozenModel):
    """How a run ended; what the workflow answers with."""

    status: ReexportStatus
