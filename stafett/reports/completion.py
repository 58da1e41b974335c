"""Terminal transitions of a re-export, with their notifications and the clean-up of its child export."""

from collections.abc import Callable, Container
from contextlib import suppress
from typing import Any

from sqlalchemy import func
from sqlmodel import Session

from stafett.audit import trail as audit_trail
from stafett.audit.trail import EventDetail
from stafett.database.session import Database
from stafett.database.tables import Export, Reexport
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.notification import JobOutcome, JobType
from stafett.domain.reexport_job import RecordReexportFailureInput, ReexportJob, ReexportOutcome
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES, RESULT_STORED_STATUSES, ReexportStatus
from stafett.exports.file_removal import start_file_removal
from stafett.jobs.state import JobEvent, lock_job, transition_job
from stafett.notifications.outbox import JobCompletion, enqueue_notifications, has_open_deliveries

_NOW = func.clock_timestamp()
_HAS_FILES = frozenset({ExportStatus.COMPLETED, ExportStatus.FAILED})
_CANNOT_FAIL = RESULT_STORED_STATUSES | REEXPORT_FINAL_STATUSES | {ReexportStatus.CANCELLING}


class ReexportCompletion:
    """Terminal transitions of a re-export: the first writer wins, and a stored result is never undone.

    A child export is discarded before the outcome is written: the decision is committed, so that no worker stores the
    result any more, and its files are deleted while no row is locked. If S3 is unavailable, retention deletes them.
    """

    def __init__(
        self,
        database: Database,
        remove_files: Callable[[ExportJob], bool],
        *,
        actor: str = audit_trail.WORKER_ACTOR,
        notify_by_email: bool = False,
    ) -> None:
        self._database = database
        self._remove_files = remove_files
        self._actor = actor
        self._notify_by_email = notify_by_email

    def complete(self, job: ReexportJob) -> ReexportOutcome:
        """Complete a re-export whose version is in the history and whose notifications are in the outbox."""
        with self._database.transaction(job.org_id) as session:
            row = lock_job(session, Reexport, job.reexport_id)
            if row.status is ReexportStatus.NOTIFYING:
                self._complete(session, row)
            has_deliveries = has_open_deliveries(session, job)
            return ReexportOutcome(status=ReexportStatus.COMPLETED, has_deliveries=has_deliveries)

    def fail(self, failure: RecordReexportFailureInput) -> bool:
        """Record the failure; return False if the job has ended, is being cancelled or has its result stored."""
        job = failure.job

        def finish(session: Session, row: Reexport) -> None:
            export = session.get_one(Export, row.export_id) if row.export_id else None
            error = (export and export.error) or failure.model_dump(include={"code", "message", "retryable"})
            self._notify(session, job, row, JobOutcome.FAILED)
            self._finish(session, row, ReexportStatus.FAILED, "reexport_failed", {"code": error["code"]}, error=error)

        return self._finish_without_export(job, finish, unless=_CANNOT_FAIL)

    def finish_cancel(self, job: ReexportJob) -> ReexportOutcome:
        """Cancel the job and discard its export, unless it has ended or its result is stored; return its status."""
        with self._database.transaction(job.org_id) as session:
            row = lock_job(session, Reexport, job.reexport_id)
            if row.status not in _CANNOT_FAIL:
                transition_job(session, row, ReexportStatus.CANCELLING, JobEvent("cancel_requested", self._actor))

        def finish(session: Session, row: Reexport) -> None:
            self._notify(session, job, row, JobOutcome.CANCELLED)
            self._finish(session, row, ReexportStatus.CANCELLED, "reexport_cancelled")

        self._finish_without_export(job, finish, unless=RESULT_STORED_STATUSES | REEXPORT_FINAL_STATUSES)
        return self.load_outcome(job)

    def close(self, job: ReexportJob, reason: str) -> JobOutcome | None:
        """End a job that its run will not finish: it fails or, if its result is stored, completes.

        Return None if the job has already ended.
        """
        message = f"{reason}; request a new re-export."
        failure = RecordReexportFailureInput(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        if self.fail(failure):
            return JobOutcome.FAILED
        with self._database.transaction(job.org_id) as session:
            row = lock_job(session, Reexport, job.reexport_id)
            if row.status is not ReexportStatus.NOTIFYING:
                return None
            if row.notified_at is None:
                self._notify(session, job, row, JobOutcome.COMPLETED)
            self._complete(session, row)
            return JobOutcome.COMPLETED

    def load_outcome(self, job: ReexportJob) -> ReexportOutcome:
        """Return the stored status, for a run whose job another writer has ended."""
        with self._database.transaction(job.org_id) as session:
            status = session.get_one(Reexport, job.reexport_id).status
            return ReexportOutcome(status=status, has_deliveries=has_open_deliveries(session, job))

    def _finish_without_export(
        self, job: ReexportJob, finish: Callable[[Session, Reexport], None], *, unless: Container[ReexportStatus]
    ) -> bool:
        """Write the outcome once the child export is discarded; return false if the job has an excluded status."""
        tried: ExportJob | None = None
        while True:
            with self._database.transaction(job.org_id) as session:
                row = lock_job(session, Reexport, job.reexport_id)
                if row.status in unless:
                    return False
                export_with_files = self._discard_export(session, row)
                if export_with_files in (None, tried):
                    finish(session, row)
                    return True
            tried = export_with_files
            with suppress(ServiceUnavailableError):
                self._remove_files(tried)

    def _discard_export(self, session: Session, row: Reexport) -> ExportJob | None:
        """Cancel the child export or decide to remove its files; return it while its files are not removed."""
        if row.export_id is None:
            return None
        export = lock_job(session, Export, row.export_id)
        if export.status not in _HAS_FILES:
            self._cancel_export(session, export)
            return None
        start_file_removal(session, export.job)
        return export.job if export.files_removed_at is None else None

    def _cancel_export(self, session: Session, export: Export) -> None:
        """Request the child export's cancellation, which the job's run or the sweeper then signals to its run."""
        if not export.status.is_final and export.status is not ExportStatus.CANCELLING:
            transition_job(session, export, ExportStatus.CANCELLING, JobEvent("cancel_requested", self._actor))

    def _complete(self, session: Session, row: Reexport) -> None:
        self._finish(session, row, ReexportStatus.COMPLETED, "reexport_completed", {"version": row.file_version})

    def _notify(self, session: Session, job: ReexportJob, row: Reexport, outcome: JobOutcome) -> None:
        enqueue_notifications(
            session,
            JobCompletion(JobType.REEXPORT, job, outcome, requested_by=row.requested_by),
            notify_by_email=self._notify_by_email,
        )

    def _finish(
        self,
        session: Session,
        row: Reexport,
        status: ReexportStatus,
        event: str,
        detail: EventDetail | None = None,
        **values: Any,
    ) -> None:
        transition_job(session, row, status, JobEvent(event, self._actor, detail), completed_at=_NOW, **values)
