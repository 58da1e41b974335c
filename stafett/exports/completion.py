"""Terminal transitions of an export: status, report entry and notifications in one transaction."""

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert, literal, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import EventDetail
from stafett.database.session import Database
from stafett.database.tables import Export, ExportAttempt, Report, ReportFileVersion
from stafett.domain.errors import StaleAttemptError
from stafett.domain.export import ExportOrigin
from stafett.domain.export_job import ExportJob, ExportOutcome, RecordFailureInput
from stafett.domain.export_outputs import ReportFile
from stafett.domain.export_status import ExportStatus
from stafett.domain.notification import JobOutcome, JobType
from stafett.exports.state import build_progress, delete_crash_counts, delete_outputs, lock_active_export
from stafett.jobs.state import JobEvent, transition_job
from stafett.notifications.outbox import JobCompletion, enqueue_notifications, has_open_deliveries

_NOW = func.clock_timestamp()
_COLUMNS_RESET_BY_CANCEL: dict[str, Any] = {
    "warnings": [],
    "partial_failure_count": 0,
    **dict.fromkeys(("file", "counts", "not_countable", "mapping")),
}


class ExportCompletion:
    """Ends an attempt of an export; the first writer wins."""

    def __init__(
        self, database: Database, *, actor: str = audit_trail.WORKER_ACTOR, notify_by_email: bool = False
    ) -> None:
        self._database = database
        self._actor = actor
        self._notify_by_email = notify_by_email

    def complete(self, job: ExportJob) -> ExportOutcome:
        """Complete the export, so that its file can be downloaded. An export of a re-export makes no report."""
        return self._finish_once(job, ExportStatus.COMPLETED, "export_completed")

    def complete_empty(self, job: ExportJob) -> ExportOutcome:
        return self._finish_once(job, ExportStatus.COMPLETED_EMPTY, "export_completed", {"rows": 0})

    def begin_cancel(self, job: ExportJob) -> bool:
        """Stop all writes of this attempt by setting ``cancelling``; return false if it has already ended."""
        with self._database.transaction(job.org_id) as session:
            try:
                export = lock_active_export(session, job, allow_cancelling=True)
            except StaleAttemptError:
                return False
            if export.status is not ExportStatus.CANCELLING:
                transition_job(session, export, ExportStatus.CANCELLING, JobEvent("cancel_requested", self._actor))
            return True

    def finish_cancel(self, job: ExportJob) -> ExportOutcome:
        """Record the cancellation once the objects are deleted; the user's next retry starts from the first stage."""
        return self._finish_once(job, ExportStatus.CANCELLED, "export_cancelled", **_COLUMNS_RESET_BY_CANCEL)

    def fail(self, failure: RecordFailureInput) -> ExportOutcome:
        """Record the failure; raise ``StaleAttemptError`` if the attempt has ended or is being cancelled."""
        error = {"code": failure.code, "message": failure.message, "retryable": failure.retryable}
        return self._finish_once(failure.job, ExportStatus.FAILED, "export_failed", {"code": failure.code}, error=error)

    def load_outcome(self, job: ExportJob) -> ExportOutcome:
        """Load the current status, for a run whose attempt is stale."""
        with self._database.transaction(job.org_id) as session:
            return _build_outcome(session, job, session.get_one(Export, job.export_id))

    def _finish_once(
        self, job: ExportJob, status: ExportStatus, event: str, detail: EventDetail | None = None, **values: Any
    ) -> ExportOutcome:
        """Finish the attempt; succeed if an earlier try has committed this very status, but its response was lost."""
        try:
            return self._finish(job, status, event, detail, **values)
        except StaleAttemptError:
            with self._database.transaction(job.org_id) as session:
                export = session.get_one(Export, job.export_id)
                if (export.attempt, export.status) != (job.attempt, status):
                    raise
                return _build_outcome(session, job, export)

    def _finish(
        self, job: ExportJob, status: ExportStatus, event: str, detail: EventDetail | None, **values: Any
    ) -> ExportOutcome:
        with self._database.transaction(job.org_id) as session:
            export = lock_active_export(session, job, allow_cancelling=status is ExportStatus.CANCELLED)
            is_report, outcome = export.origin is ExportOrigin.REPORT, ExportOutcome(status=status)
            if status is ExportStatus.COMPLETED:
                file = ReportFile.model_validate(export.file)
                outcome, detail = outcome.model_copy(update={"row_count": file.rows}), _build_detail(file)
                values["progress"] = build_progress(ExportStatus.RECORDING_AUDIT, file.rows, file.rows)
                values["report_id"] = create_report(session, job) if is_report else None
            elif status is ExportStatus.CANCELLED:
                delete_outputs(session, job)
            delete_crash_counts(session, job)
            session.execute(
                update(ExportAttempt)
                .where(col(ExportAttempt.export_id) == job.export_id, col(ExportAttempt.number) == job.attempt)
                .values(ended_at=_NOW, outcome=status)
            )
            has_deliveries = False
            if is_report:  # a re-export sends its own notification
                completion = JobCompletion(JobType.EXPORT, job, JobOutcome(status), requested_by=export.requested_by)
                has_deliveries = enqueue_notifications(session, completion, notify_by_email=self._notify_by_email)
            transition_job(session, export, status, JobEvent(event, self._actor, detail), completed_at=_NOW, **values)
            return outcome.model_copy(update={"has_deliveries": has_deliveries})


def _build_outcome(session: Session, job: ExportJob, export: Export) -> ExportOutcome:
    row_count, has_deliveries = (export.counts or {}).get("written", 0), has_open_deliveries(session, job)
    return ExportOutcome(status=export.status, row_count=row_count, has_deliveries=has_deliveries)


_ORIGINAL_VERSION = 1


def create_report(session: Session, job: ExportJob) -> UUID:
    """Insert the report entry and its first file version, in the transaction that completes the export."""
    report_id = uuid4()
    is_this_export = col(Export.id) == job.export_id
    entry: dict[Any, Any] = {
        Report.id: literal(report_id),
        Report.org_id: Export.org_id,
        Report.export_id: Export.id,
        Report.period_start: Export.period_start,
        Report.period_end: Export.period_end,
        Report.parameters: Export.parameters,
    }
    file: dict[Any, Any] = {
        ReportFileVersion.report_id: literal(report_id),
        ReportFileVersion.version: literal(_ORIGINAL_VERSION),
        ReportFileVersion.org_id: Export.org_id,
        ReportFileVersion.export_id: Export.id,
        ReportFileVersion.kind: literal("original"),
        ReportFileVersion.file: Export.file,
        ReportFileVersion.mapping: Export.mapping,
        ReportFileVersion.created_by: Export.requested_by,
    }
    insert_entry, insert_file = (
        insert(table).from_select(list(values), select(*values.values()).where(is_this_export))
        for table, values in ((Report, entry), (ReportFileVersion, file))
    )
    session.execute(insert_file.add_cte(insert_entry.cte()))
    return report_id


def _build_detail(file: ReportFile) -> EventDetail:
    return {"rows": file.rows, "sha256": file.sha256}
