"""Arguments and results of the export workflow and its activities: ids, codes and counts, never rows."""

from datetime import date, datetime
from uuid import UUID

from pydantic import AwareDatetime

from stafett.domain.export import ExportOrigin, OrgId
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.frozen import PayloadModel
from stafett.domain.job import JobKind
from stafett.domain.object_keys import ExportKey, build_execution_prefix, build_export_prefix
from stafett.domain.reporting_period import OSLO

STALE_ATTEMPT = "stale_attempt"
"""Failure type of a run whose attempt was superseded, cancelled or already finished."""


class ExportJob(PayloadModel):
    """One attempt at an export, the argument of every stage."""

    export_id: UUID
    org_id: OrgId
    attempt: int
    include_attachments: bool = False
    fail_on_empty: bool = False
    period_start: AwareDatetime
    period_end: AwareDatetime
    origin: ExportOrigin = ExportOrigin.REPORT

    @property
    def kind(self) -> JobKind:
        return JobKind.BUFDIR_EXPORT

    @property
    def job_id(self) -> UUID:
        return self.export_id

    @property
    def workflow_id(self) -> str:
        return f"bufdir-export/{self.export_id}"

    @property
    def key_prefix(self) -> str:
        """The prefix of the object keys of this export."""
        return build_export_prefix(self.org_id, self.export_id)

    def build_execution_prefix(self, stage: ExportStatus, execution_id: str) -> str:
        """Build the prefix of the objects of one execution of a stage in this attempt."""
        return build_execution_prefix(self.key_prefix, self.attempt, stage, execution_id)

    def is_of_later_attempt(self, key: str) -> bool:
        """Return whether an attempt after this one wrote the object."""
        export_key = ExportKey.parse(key)
        return export_key is not None and export_key.attempt > self.attempt

    @property
    def period(self) -> tuple[datetime, datetime]:
        return self.period_start, self.period_end

    @property
    def date_range(self) -> tuple[date, date]:
        """The first and the last day, in Europe/Oslo."""
        return self.period_start.astimezone(OSLO).date(), self.period_end.astimezone(OSLO).date()

    @property
    def initial_status(self) -> str:
        return ExportStatus.INITIALISED

    @property
    def summary(self) -> str:
        first, last = self.date_range
        return f"Bufdir export for {self.org_id}, {first} to {last}"


class StageResult(PayloadModel):
    """Result of a finished stage. Its outputs are in PostgreSQL and S3."""

    stage: ExportStatus
    rows: int
    reused: bool = False


class RecordFailureInput(PayloadModel):
    """The job to fail, and the reason."""

    job: ExportJob
    code: ExportErrorCode
    message: str
    retryable: bool


class ExportProgress(PayloadModel):
    """Result of the query ``progress``."""

    stage: ExportStatus
    attempt: int


class ExportOutcome(PayloadModel):
    """Result of the workflow."""

    status: ExportStatus
    row_count: int = 0
    has_deliveries: bool = True
    """Whether there may be notifications to deliver."""


class RetentionReport(PayloadModel):
    """Numbers of exports whose staging was cleared, whose files were removed, and that failed with an error."""

    staging_cleared: int = 0
    files_removed: int = 0
    errors: int = 0


class BucketReport(PayloadModel):
    """Numbers of objects that a reconciliation of the bucket found, and what it did with them."""

    objects: int = 0
    """Objects and incomplete uploads below the prefixes of exports."""
    objects_deleted: int = 0
    uploads_aborted: int = 0
    unrecognised: int = 0
    """Objects that no attempt wrote, which are left alone."""
    unknown_exports: int = 0
    """Exports with objects of an attempt that the database does not know."""
    files_missing: int = 0
    """Completed exports whose file was noticed as missing."""
    files_found: int = 0
    """Completed exports whose file was missing earlier."""
    errors: int = 0


class SweepReport(PayloadModel):
    """Numbers of jobs that a sweep handled, by action, and of its parts that failed."""

    started: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0
    errors: int = 0
    notifications_started: int = 0
