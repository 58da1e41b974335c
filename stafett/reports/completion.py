"""How a re-export ends, for good: its last transition, what people are told, and nothing left of what is not to be."""

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
    """Whoever ends a job first has ended it; a stored result is never undone."""

    def __init__(
        self,
        database: Database,
        remove_files: Callable[[ExportJob], bool],
        *,
        actor: str = audit_trail.WORKER_ACTOR,
        by_email: bool = False,
    ) -> None:
        self._database = database
        self._remove_files = remove_files
        self._actor = actor
        self._by_email = by_email

    def complete(self, job: ReexportJob) -> ReexportOutcome:
        """The version is in the history, and whoever could be told is told."""
        with self._database.transaction(job.org_id) as session:
            row = _lock_reexport(session, job)
            if row.status is ReexportStatus.NOTIFYING:
                self._complete(session, job, row)
        return ReexportOutcome(status=ReexportStatus.COMPLETED)

    def fail(self, failure: RecordReexportFailureInput) -> bool:
        """Say why; false if it has ended already, is to be cancelled, or its result is stored."""
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
        """Have it stopped, with nothing left of it; or how it has ended, or is to end, otherwise."""
        with self._database.transaction(job.org_id) as session:
            row = _lock_reexport(session, job)
            if not row.status.is_final and row.status not in RESULT_STORED_STATUSES | {ReexportStatus.CANCELLING}:
                step = self._build_transition(ReexportStatus.CANCELLING, "cancel_requested")
                transition_reexport(session, job, step)
        with self._database.transaction(job.org_id) as session:
            row = _lock_reexport(session, job)
            if row.status is ReexportStatus.CANCELLING:
                self._discard_export(session, row)
                self._notify(session, job, row, JobOutcome.CANCELLED)
                self._finish(session, job, ReexportStatus.CANCELLED, "reexport_cancelled")
        return self.load_outcome(job)

    def close(self, job: ReexportJob, run_status: str) -> bool:
        """Its run was ended from outside: it has failed, or, if its result is stored, is completed."""
        message = f"The re-export was ended from outside ({run_status}) before it was done; it can be asked for again."
        failing = RecordReexportFailureInput(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        if self.fail(failing):
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
        """How it stands, for a run that finds itself too late."""
        with self._database.transaction(job.org_id) as session:
            return ReexportOutcome(status=session.get_one(Reexport, job.reexport_id).status)

    def _discard_export(self, session: Session, row: Reexport) -> Export | None:
        """What was made for it is removed, or is to stop; the job is held meanwhile, so that nobody stores it."""
        if row.export_id is None:
            return None
        export = session.get_one(Export, row.export_id)
        if export.status in _HAS_FILES:
            self._remove_files(export.job)
        elif not export.status.is_final:
            self._cancel_export(session, row.export_id)
        return export

    def _cancel_export(self, session: Session, export_id: UUID) -> None:
        """Its run hears of it from ours, or from the sweeper."""
        export = session.exec(select(Export).where(Export.id == export_id).with_for_update()).one()
        if not export.status.is_final and export.status is not ExportStatus.CANCELLING:
            step = ExportTransitionEvent(status=ExportStatus.CANCELLING, event="cancel_requested", actor=self._actor)
            transition_export(session, export.job, step)

    def _complete(self, session: Session, job: ReexportJob, row: Reexport) -> None:
        self._finish(session, job, ReexportStatus.COMPLETED, "reexport_completed", {"version": row.file_version})

    def _notify(self, session: Session, job: ReexportJob, row: Reexport, outcome: JobOutcome) -> None:
        enqueue_notifications(
            session,
            JobCompletion(JobType.REEXPORT, job, outcome, requested_by=row.requested_by),
            by_email=self._by_email,
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
    """The row, whatever has become of the job, locked until the transaction ends."""
    return session.exec(select(Reexport).where(Reexport.id == job.reexport_id).with_for_update()).one()
