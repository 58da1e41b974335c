"""What stages read and leave behind: entered, told of, committed, each in one transaction with its audit event."""

from typing import Any, TypeVar

from sqlalchemy import Text, cast, delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.database.tables import (
    Export,
    ExportPartialFailures,
    ExportStageCrashes,
    ExportStageOutput,
    JsonObject,
    Organisation,
)
from stafett.domain.errors import ExportError
from stafett.domain.export import ExportCounts, ExportParameters, PartialFailureReport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import BundledFile, MappedRows, QueriedRows, ReportFile, StageOutputs
from stafett.domain.export_status import ERROR_CODE_BY_STAGE, ExportStatus
from stafett.exports.state import Step, at_work, forget_mapped_parts, forget_outputs, held, move, progress_of

Outputs = TypeVar("Outputs", QueriedRows, MappedRows, ReportFile, BundledFile)
MOST_UNANSWERED = 5
"""So often a stage may take its worker down, or meet an error nobody foresaw, before the attempt is given up."""


class ExportRecord:
    """The worker's side of an export that is at work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def parameters(self, job: ExportJob) -> ExportParameters:
        with self._database.transaction(job.org_id) as session:
            return ExportParameters.model_validate(session.get_one(Export, job.export_id).parameters)

    def organisation(self, job: ExportJob) -> str:
        """What the organisation called itself when the rows were taken; they and their document stay together."""
        with self._database.transaction(job.org_id) as session:
            staged = session.get(ExportStageOutput, (job.export_id, ExportStatus.QUERYING_ACTIVITIES))
            name: str | None = staged.outputs.get("organisation_name") if staged else None
            return name or session.get_one(Organisation, job.org_id).name

    def outputs(self, job: ExportJob, stage: ExportStatus, kind: type[Outputs]) -> Outputs:
        with self._database.transaction(job.org_id) as session:
            return kind.model_validate(_outputs(session, job, stage))

    def mapped_rows(self, job: ExportJob) -> MappedRows:
        """With the partial failures, which are kept apart from the rest."""
        with self._database.transaction(job.org_id) as session:
            outputs = _outputs(session, job, ExportStatus.MAPPING_COLUMNS)
            kept = session.get(ExportPartialFailures, job.export_id)
        return MappedRows.model_validate({**outputs, "partial_failures": kept.reports if kept else ()})

    def begin(self, job: ExportJob, stage: ExportStatus) -> int | None:
        """Enter the stage; or how many rows it had, if its outputs stand already."""
        with self._database.transaction(job.org_id) as session:
            export = held(session, job)
            done = session.get(ExportStageOutput, (job.export_id, stage))
            if done is not None:
                return done.rows
            tries = _entered(session, job, stage, export)
        _require_hope(tries, stage)
        return None

    def answered(self, job: ExportJob, stage: ExportStatus) -> None:
        """A try that failed for a reason which is not the stage's own does not count."""
        with self._database.transaction(job.org_id) as session:
            session.execute(
                update(ExportStageCrashes)
                .where(*_of(job, stage), col(ExportStageCrashes.unanswered) > 0)
                .values(unanswered=col(ExportStageCrashes.unanswered) - 1)
            )

    def finish(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
        """Commit what a stage leaves; false if another execution of it was first."""
        with self._database.transaction(job.org_id) as session:
            if held(session, job).status is not stage:
                return False  # the export has gone on; and what it went on from may be void by now
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
            if stage is ExportStatus.MAPPING_COLUMNS:
                forget_mapped_parts(session, job)
            values = {"progress": progress_of(stage, outputs.rows, outputs.rows), **_shown(outputs)}
            session.execute(update(Export).where(col(Export.id) == job.export_id).values(values))
            return True

    def progress(self, job: ExportJob, stage: ExportStatus, done: int, total: int) -> None:
        with self._database.transaction(job.org_id) as session:
            session.execute(at_work(job, stage).values(progress=progress_of(stage, done, total)))

    def waits_for(self, job: ExportJob, stage: ExportStatus, service: str) -> None:
        """Say what is away; the engine tries again, and what is told then tells that it is back."""
        told = func.jsonb_set(col(Export.progress), ["waiting_for"], func.to_jsonb(cast(service, Text)))
        with self._database.transaction(job.org_id) as session:
            session.execute(at_work(job, stage).values(progress=told))

    def void_outputs(self, job: ExportJob) -> None:
        """Something of theirs is lost in storage: the next attempt begins anew."""
        with self._database.transaction(job.org_id) as session:
            held(session, job)
            forget_outputs(session, job)

    def enter(self, job: ExportJob, stage: ExportStatus) -> None:
        """Begin the stage once more; the try is counted whatever becomes of the transition."""
        with self._database.transaction(job.org_id) as session:
            tries = _entered(session, job, stage, held(session, job))
        _require_hope(tries, stage)


def _entered(session: Session, job: ExportJob, stage: ExportStatus, export: Export) -> int:
    """How often it was begun without an answer, this time included."""
    progress, tries = progress_of(stage, 0, 0), _one_more_try(session, job, stage)
    if export.status is stage:
        session.execute(at_work(job, stage).values(progress=progress))
    elif tries <= MOST_UNANSWERED:
        try:
            with session.begin_nested():
                step = Step(status=stage, event="stage_started", actor=audit_trail.WORKER_ACTOR)
                move(session, job, step, progress=progress)
        except DBAPIError as error:
            if not error.connection_invalidated:
                session.commit()  # the transition is refused, the try is counted
            raise
    return tries


def _require_hope(tries: int, stage: ExportStatus) -> None:
    if tries > MOST_UNANSWERED:
        message = "The stage did not end, however often it was begun; it can be tried again."
        raise ExportError(ERROR_CODE_BY_STAGE[stage], message, retryable=True)


def _outputs(session: Session, job: ExportJob, stage: ExportStatus) -> JsonObject:
    return session.get_one(ExportStageOutput, (job.export_id, stage)).outputs


def _of(job: ExportJob, stage: ExportStatus) -> tuple[Any, ...]:
    return (
        col(ExportStageCrashes.export_id) == job.export_id,
        col(ExportStageCrashes.attempt) == job.attempt,
        col(ExportStageCrashes.stage) == stage,
    )


def _one_more_try(session: Session, job: ExportJob, stage: ExportStatus) -> int:
    row = insert(ExportStageCrashes).values(
        export_id=job.export_id, attempt=job.attempt, stage=stage, org_id=job.org_id, unanswered=1
    )
    again = row.on_conflict_do_update(
        constraint=ExportStageCrashes.__table__.primary_key,  # type: ignore[attr-defined]  # SQLModel hides its table
        set_={"unanswered": col(ExportStageCrashes.unanswered) + 1},
    )
    return session.scalars(again.returning(col(ExportStageCrashes.unanswered))).one()


def _keep_partial_failures(session: Session, job: ExportJob, outputs: StageOutputs) -> None:
    """A later stage's come after those that are kept already."""
    if not isinstance(outputs, (MappedRows, BundledFile)) or not outputs.partial_failures:
        return
    of_this_export = col(ExportPartialFailures.export_id) == job.export_id
    taken = delete(ExportPartialFailures).where(of_this_export).returning(col(ExportPartialFailures.reports))
    kept = (PartialFailureReport.model_validate(report) for report in session.scalar(taken) or ())
    reports = [
        failure.model_dump(mode="json") for failure in PartialFailureReport.truncate((*kept, *outputs.partial_failures))
    ]
    session.execute(insert(ExportPartialFailures).values(export_id=job.export_id, org_id=job.org_id, reports=reports))


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
