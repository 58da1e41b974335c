"""Terminal transitions of a re-export, with their notifications and the clean-up of its child export."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlmodel import Session, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import EventDetail
from stafett.database.session import Database
from stafett.database.tables import Export, Reexport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.notification import JobOutcome, JobType
from stafett.domain.reexport_job import RecordReexportFailureInput, ReexportJob, ReexportOutcome
from stafett.domain.reexport_status import RESULT_STORED_STATUSES, ReexportStatus
from stafett.exports.state import ExportTransitionEvent, transition_export
from stafett.notifications.outbox import JobCompletion, enqueue_notifications
from stafett.reports.state import ReexportTransitionEvent, transition_reexport

_NOW = func.clock_timestamp()
_HAS_FILES = frozenset({ExportStatus.COMPLETED, ExportStatus.FAILED})


class ReexportCompletion:
    """Terminal transitions of a re-export: the first writer wins, and a stored result is never undone."""

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
            row = _lock_reexport(session, job)
            if row.status is ReexportStatus.NOTIFYING:
                self._complete(session, job, row)
        return ReexportOutcome(status=ReexportStatus.COMPLETED)

    def fail(self, failure: RecordReexportFailureInput) -> bool:
        """Record the failure; return False if the job has ended, is being cancelled or has its result stored."""
        job = failure.job
        with self._database.transaction(job.org_id) as session:
            row = _lock_reexport(session, job)
            if row.status.is_final or row.status in RESULT_STORED_STATUSES | {ReexportStatus.CANCELLING}:
                return False
            export = self._discard_export(session, row)
            error = (export and export.error) or failure.model_dump(include={"code", "message", "retryable"})
            self._notify(session, job, row, JobOutcome.FAILED)
            self._finish(session, job, ReexportStatus.FAILED, "reexport_failed", {"code": error["code"]}, error=error)
            return True

    def finish_cancel(self, job: ReexportJob) -> ReexportOutcome:
        """Cancel the job and discard its export, unless it has ended or its result is stored; return its status."""
        with self._database.transaction(job.org_id) as session:
            row = _lock_reexport(session, job)
            if not row.status.is_final and row.status not in RESULT_STORED_STATUSES | {ReexportStatus.CANCELLING}:
                transition = self._build_transition(ReexportStatus.CANCELLING, "cancel_requested")
                transition_reexport(session, job, transition)
        with self._database.transaction(job.org_id) as session:
            row = _lock_reexport(session, job)
            if row.status is ReexportStatus.CANCELLING:
                self._discard_export(session, row)
                self._notify(session, job, row, JobOutcome.CANCELLED)
                self._finish(session, job, ReexportStatus.CANCELLED, "reexport_cancelled")
        return self.load_outcome(job)

    def close(self, job: ReexportJob, run_status: str) -> bool:
        """Record that the run was closed externally: the job fails or, if its result is stored, completes."""
        message = f"The workflow run was closed externally ({run_status}) before it finished; request a new re-export."
        failure = RecordReexportFailureInput(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        if self.fail(failure):
            return True
        with self._database.transaction(job.org_id) as session:
            row = _lock_reexport(session, job)
            if row.status is not ReexportStatus.NOTIFYING:
                return False
            if row.notified_at is None:
                self._notify(session, job, row, JobOutcome.COMPLETED)
            self._complete(session, job, row)
            return True

    def load_outcome(self, job: ReexportJob) -> ReexportOutcome:
        """Return the stored status, for a run whose job another writer has ended."""
        with self._database.transaction(job.org_id) as session:
            return ReexportOutcome(status=session.get_one(Reexport, job.reexport_id).status)

    def _discard_export(self, session: Session, row: Reexport) -> Export | None:
        """Remove the child export's files or cancel it; the job stays locked, so that no worker stores the result."""
        if row.export_id is None:
            return None
        export = session.get_one(Export, row.export_id)
        if export.status in _HAS_FILES:
            self._remove_files(export.job)
        elif not export.status.is_final:
            self._cancel_export(session, row.export_id)
        return export

    def _cancel_export(self, session: Session, export_id: UUID) -> None:
        """Request the child export's cancellation, which the job's run or the sweeper then signals to its run."""
        export = session.exec(select(Export).where(Export.id == export_id).with_for_update()).one()
        if not export.status.is_final and export.status is not ExportStatus.CANCELLING:
            transition = ExportTransitionEvent(
                status=ExportStatus.CANCELLING, event="cancel_requested", actor=self._actor
            )
            transition_export(session, export.job, transition)

    def _complete(self, session: Session, job: ReexportJob, row: Reexport) -> None:
        self._finish(session, job, ReexportStatus.COMPLETED, "reexport_completed", {"version": row.file_version})

    def _notify(self, session: Session, job: ReexportJob, row: Reexport, outcome: JobOutcome) -> None:
        enqueue_notifications(
            session,
            JobCompletion(JobType.REEXPORT, job, outcome, requested_by=row.requested_by),
            notify_by_email=self._notify_by_email,
        )

    def _finish(
        self,
        session: Session,
        job: ReexportJob,
        status: ReexportStatus,
        event: str,
        detail: EventDetail | None = None,
        **values: Any,
    ) -> None:
        transition_reexport(session, job, self._build_transition(status, event, detail), completed_at=_NOW, **values)

    def _build_transition(
        self, status: ReexportStatus, event: str, detail: EventDetail | None = None
    ) -> ReexportTransitionEvent:
        return ReexportTransitionEvent(status=status, event=event, actor=self._actor, detail=detail or {})


def _lock_reexport(session: Session, job: ReexportJob) -> Reexport:
    """Lock the job's row until the transaction ends, whatever its status."""
    return session.exec(select(Reexport).where(Reexport.id == job.reexport_id).with_for_update()).one()
