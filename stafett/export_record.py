"""An export's record: its state, its trail and its outputs, each change in one transaction with its audit event.

Nobody writes for an attempt that is over: every write holds the row and looks first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Text, Update, cast, delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett import export_audit, report_history
from stafett.database.session import Database
from stafett.database.tables import (
    Export,
    ExportAttempt,
    ExportPartialFailures,
    ExportStageOutput,
    ExportStageTries,
    Organisation,
)
from stafett.domain.errors import ExportError, StaleAttemptError
from stafett.domain.export import ExportCounts, ExportParameters, PartialFailureReport
from stafett.domain.export_job import ExportEnd, ExportFailing, ExportJob
from stafett.domain.export_outputs import BundledFile, MappedRows, QueriedRows, ReportFile, StageOutputs
from stafett.domain.export_status import FAILURE_OF, ExportStatus
from stafett.export_audit import AuditEntry
from stafett.notifications.announcing import announce

Outputs = TypeVar("Outputs", QueriedRows, MappedRows, ReportFile, BundledFile)
MOST_UNANSWERED = 5
"""So often a stage may take its worker down, or meet an error nobody foresaw, before the attempt is given up."""

_NOW = func.clock_timestamp()
_OF_STAGES = ("file", "counts", "not_countable", "mapping")
_NOTHING_YET: dict[str, Any] = {"warnings": [], "partial_failure_count": 0, **dict.fromkeys(_OF_STAGES)}


class ExportRecord:
    """The worker's and the sweeper's side of the ``exports`` table."""

    def __init__(self, database: Database, *, actor: str = export_audit.WORKER, by_mail: bool = False) -> None:
        self._database = database
        self._actor = actor
        self._by_mail = by_mail

    def parameters(self, job: ExportJob) -> ExportParameters:
        with self._database.transaction(job.org_id) as session:
            return ExportParameters.model_validate(session.get_one(Export, job.export_id).parameters)

    def organisation(self, job: ExportJob) -> str:
        """What the organisation calls itself."""
        with self._database.transaction(job.org_id) as session:
            return session.get_one(Organisation, job.org_id).name

    def outputs(self, job: ExportJob, stage: ExportStatus, kind: type[Outputs]) -> Outputs:
        with self._database.transaction(job.org_id) as session:
            return kind.model_validate(session.get_one(ExportStageOutput, (job.export_id, stage)).outputs)

    def mapped_rows(self, job: ExportJob) -> MappedRows:
        """With the partial failures, which are kept apart from the rest."""
        mapped = self.outputs(job, ExportStatus.MAPPING_COLUMNS, MappedRows)
        with self._database.transaction(job.org_id) as session:
            kept = session.get(ExportPartialFailures, job.export_id)
        reports = kept.reports if kept else ()
        failures = tuple(PartialFailureReport.model_validate(report) for report in reports)
        return mapped.model_copy(update={"partial_failures": failures})

    def begin(self, job: ExportJob, stage: ExportStatus) -> int | None:
        """Enter the stage; or how many rows it had, if its outputs stand already."""
        with self._database.transaction(job.org_id) as session:
            _held(session, job)
            done = session.get(ExportStageOutput, (job.export_id, stage))
        if done is not None:
            return done.rows
        self._enter(job, stage, _progress(stage, 0, 0))
        return None

    def answered(self, job: ExportJob, stage: ExportStatus) -> None:
        """A try that failed for a reason which is not the stage's own does not count."""
        with self._database.transaction(job.org_id) as session:
            session.execute(
                update(ExportStageTries)
                .where(*_of(job, stage), col(ExportStageTries.unanswered) > 0)
                .values(unanswered=col(ExportStageTries.unanswered) - 1)
            )

    def finish(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
        """Commit what a stage leaves; false if another execution of it was first."""
        with self._database.transaction(job.org_id) as session:
            _held(session, job)
            row = insert(ExportStageOutput).values(
                export_id=job.export_id,
                stage=stage,
                org_id=job.org_id,
                attempt=job.attempt,
                rows=outputs.rows,
                outputs=outputs.model_dump(mode="json", exclude={"partial_failures"}),
            )
            if session.scalar(row.on_conflict_do_nothing().returning(col(ExportStageOutput.stage))) is None:
                return False
            _keep_partial_failures(session, job, outputs)
            values = {"progress": _progress(stage, outputs.rows, outputs.rows), **_shown(outputs)}
            session.execute(update(Export).where(col(Export.id) == job.export_id).values(values))
            return True

    def progress(self, job: ExportJob, stage: ExportStatus, done: int, total: int) -> None:
        with self._database.transaction(job.org_id) as session:
            session.execute(_at_work(job, stage).values(progress=_progress(stage, done, total)))

    def waits_for(self, job: ExportJob, stage: ExportStatus, service: str) -> None:
        """Say what is away; the engine tries again, and what is told then tells that it is back."""
        told = func.jsonb_set(col(Export.progress), ["waiting_for"], func.to_jsonb(cast(service, Text)))
        with self._database.transaction(job.org_id) as session:
            session.execute(_at_work(job, stage).values(progress=told))

    def void_outputs(self, job: ExportJob) -> None:
        """Something of theirs is lost in storage: the next attempt begins anew."""
        with self._database.transaction(job.org_id) as session:
            _held(session, job)
            _forget_outputs(session, job)

    def complete(self, job: ExportJob) -> ExportEnd:
        """The last step of a report that is there: from here on it can be downloaded."""
        stage = ExportStatus.RECORDING_AUDIT
        file = self.outputs(job, ExportStatus.STORING_FILE, ReportFile)
        detail: export_audit.Detail = {"rows": file.rows, "sha256": file.sha256}
        with self._unless_ended_as(job, ExportStatus.COMPLETED):
            done = _progress(stage, file.rows, file.rows)
            self._enter(job, stage, done)
            self._end(job, ExportStatus.COMPLETED, "export_completed", detail, progress=done)
        return ExportEnd(status=ExportStatus.COMPLETED, row_count=file.rows)

    def complete_empty(self, job: ExportJob) -> ExportEnd:
        with self._unless_ended_as(job, ExportStatus.COMPLETED_EMPTY):
            self._end(job, ExportStatus.COMPLETED_EMPTY, "export_completed", {"rows": 0})
        return ExportEnd(status=ExportStatus.COMPLETED_EMPTY)

    def cancel(self, job: ExportJob) -> bool:
        """Have nobody write for it any more; false if the attempt has ended otherwise."""
        with self._database.transaction(job.org_id) as session:
            try:
                export = _held(session, job, cancelling_too=True)
            except StaleAttemptError:
                return False
            if export.status is not ExportStatus.CANCELLING:
                self._move(session, job, ExportStatus.CANCELLING, "cancel_requested")
            return True

    def cancelled(self, job: ExportJob) -> ExportEnd:
        """It has stopped, and nothing of it is left in storage: another attempt begins anew."""
        with self._unless_ended_as(job, ExportStatus.CANCELLED):
            self._end(job, ExportStatus.CANCELLED, "export_cancelled", **_NOTHING_YET)
        return ExportEnd(status=ExportStatus.CANCELLED)

    def fail(self, failing: ExportFailing) -> bool:
        """Say why; false if somebody else has ended the attempt already."""
        error = {"code": failing.code, "message": failing.message, "retryable": failing.retryable}
        try:
            self._end(failing.job, ExportStatus.FAILED, "export_failed", {"code": failing.code}, error=error)
        except StaleAttemptError:
            return False
        return True

    def end_of(self, job: ExportJob) -> ExportEnd:
        """How it stands, for a run that finds itself too late."""
        with self._database.transaction(job.org_id) as session:
            export = session.get_one(Export, job.export_id)
            return ExportEnd(status=export.status, row_count=(export.counts or {}).get("written", 0))

    def _enter(self, job: ExportJob, stage: ExportStatus, progress: dict[str, Any]) -> None:
        """Begin the stage once more; the try is counted whatever becomes of the transition."""
        with self._database.transaction(job.org_id) as session:
            is_there = _held(session, job).status is stage
            tries = _one_more_try(session, job, stage)
            session.execute(_at_work(job, stage).values(progress=progress))
        if tries > MOST_UNANSWERED:
            message = "The stage did not end, however often it was begun; it can be tried again."
            raise ExportError(FAILURE_OF[stage], message, retryable=True)
        if not is_there:
            with self._database.transaction(job.org_id) as session:
                if _held(session, job).status is not stage:  # another execution of it may have been first
                    self._move(session, job, stage, "stage_started", progress=progress)

    @contextmanager
    def _unless_ended_as(self, job: ExportJob, status: ExportStatus) -> Iterator[None]:
        """An end that was committed, and whose answer got lost on its way, is the end."""
        try:
            yield
        except StaleAttemptError:
            with self._database.transaction(job.org_id) as session:
                export = session.get_one(Export, job.export_id)
            if (export.attempt, export.status) != (job.attempt, status):
                raise

    def _end(
        self,
        job: ExportJob,
        status: ExportStatus,
        event: str,
        detail: export_audit.Detail | None = None,
        **values: Any,
    ) -> None:
        with self._database.transaction(job.org_id) as session:
            _held(session, job, cancelling_too=status in {ExportStatus.FAILED, ExportStatus.CANCELLED})
            if status is ExportStatus.COMPLETED:
                values["report_id"] = report_history.enter(session, job)
            elif status is ExportStatus.CANCELLED:
                _forget_outputs(session, job)
            session.execute(
                update(ExportAttempt)
                .where(col(ExportAttempt.export_id) == job.export_id, col(ExportAttempt.number) == job.attempt)
                .values(ended_at=_NOW, outcome=status)
            )
            announce(session, job, status, by_mail=self._by_mail)
            self._move(session, job, status, event, detail, completed_at=_NOW, **values)

    def _move(
        self,
        session: Session,
        job: ExportJob,
        status: ExportStatus,
        event: str,
        detail: export_audit.Detail | None = None,
        **values: Any,
    ) -> None:
        """A transition and its audit event, in the transaction that holds the row."""
        session.execute(update(Export).where(col(Export.id) == job.export_id).values(status=status, **values))
        entry = AuditEntry(
            org_id=job.org_id,
            actor=self._actor,
            event=event,
            subject_id=job.export_id,
            status=status,
            detail={"attempt": job.attempt, **(detail or {})},
        )
        export_audit.append(session, entry)


def _held(session: Session, job: ExportJob, *, cancelling_too: bool = False) -> Export:
    """The job's row, locked until the transaction ends, if this attempt still has the right to write to it."""
    export = session.exec(select(Export).where(Export.id == job.export_id).with_for_update()).one()
    is_over = export.status.is_final or (export.status is ExportStatus.CANCELLING and not cancelling_too)
    if export.attempt != job.attempt or is_over:
        raise StaleAttemptError("This attempt at the export is over.")
    return export


def _at_work(job: ExportJob, stage: ExportStatus) -> Update:
    return update(Export).where(
        col(Export.id) == job.export_id, col(Export.attempt) == job.attempt, col(Export.status) == stage
    )


def _forget_outputs(session: Session, job: ExportJob) -> None:
    for table in (ExportStageOutput, ExportPartialFailures):
        session.execute(delete(table).where(col(table.export_id) == job.export_id))


def _of(job: ExportJob, stage: ExportStatus) -> tuple[Any, ...]:
    return (
        col(ExportStageTries.export_id) == job.export_id,
        col(ExportStageTries.attempt) == job.attempt,
        col(ExportStageTries.stage) == stage,
    )


def _one_more_try(session: Session, job: ExportJob, stage: ExportStatus) -> int:
    row = insert(ExportStageTries).values(
        export_id=job.export_id, attempt=job.attempt, stage=stage, org_id=job.org_id, unanswered=1
    )
    again = row.on_conflict_do_update(
        constraint=ExportStageTries.__table__.primary_key,  # type: ignore[attr-defined]  # SQLModel hides its table
        set_={"unanswered": col(ExportStageTries.unanswered) + 1},
    )
    return session.scalars(again.returning(col(ExportStageTries.unanswered))).one()


def _keep_partial_failures(session: Session, job: ExportJob, outputs: StageOutputs) -> None:
    """A later stage's come after those that are kept already."""
    if not isinstance(outputs, (MappedRows, BundledFile)) or not outputs.partial_failures:
        return
    of_this_export = col(ExportPartialFailures.export_id) == job.export_id
    taken = delete(ExportPartialFailures).where(of_this_export).returning(col(ExportPartialFailures.reports))
    kept = (PartialFailureReport.model_validate(report) for report in session.scalar(taken) or ())
    reports = [
        failure.model_dump(mode="json") for failure in PartialFailureReport.bounded((*kept, *outputs.partial_failures))
    ]
    session.execute(insert(ExportPartialFailures).values(export_id=job.export_id, org_id=job.org_id, reports=reports))


def _progress(stage: ExportStatus, done: int, total: int) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"stage": stage, "done": done, "total": total, "waiting_for": None, "updated_at": at}


def _shown(outputs: StageOutputs) -> dict[str, Any]:
    """What of a stage's outputs the job itself shows."""
    match outputs:
        case QueriedRows():
            return {"counts": ExportCounts(queried=outputs.rows).model_dump()}
        case MappedRows():
            shown = {"counts", "not_countable", "mapping", "warnings", "partial_failure_count"}
            return outputs.model_dump(mode="json", include=shown)
        case BundledFile(file=file, partial_failures=more):
            count = col(Export.partial_failure_count) + len(more)
            return {"file": file.model_dump(mode="json"), "partial_failure_count": count}
        case ReportFile():
            return {"file": outputs.model_dump(mode="json")}
