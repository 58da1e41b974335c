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
from stafett.exports.state import (
    ExportTransitionEvent,
    build_progress,
    delete_mapped_parts,
    delete_outputs,
    lock_active_export,
    transition_export,
    update_if_running,
)

Outputs = TypeVar("Outputs", QueriedRows, MappedRows, ReportFile, BundledFile)
MAX_CRASHES = 5
"""So often a stage may take its worker down, or meet an error nobody foresaw, before the attempt is given up."""


class StageStore:
    """The worker's side of an export that is at work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_parameters(self, job: ExportJob) -> ExportParameters:
        with self._database.transaction(job.org_id) as session:
            return ExportParameters.model_validate(session.get_one(Export, job.export_id).parameters)

    def load_organisation_name(self, job: ExportJob) -> str:
        """What the organisation called itself when the rows were taken; they and their document stay together."""
        with self._database.transaction(job.org_id) as session:
            staged = session.get(ExportStageOutput, (job.export_id, ExportStatus.QUERYING_ACTIVITIES))
            name: str | None = staged.outputs.get("organisation_name") if staged else None
            return name or session.get_one(Organisation, job.org_id).name

    def load_outputs(self, job: ExportJob, stage: ExportStatus, output_type: type[Outputs]) -> Outputs:
        with self._database.transaction(job.org_id) as session:
            return output_type.model_validate(_load_outputs(session, job, stage))

    def load_mapped_rows(self, job: ExportJob) -> MappedRows:
        """With the partial failures, which are kept apart from the rest."""
        with self._database.transaction(job.org_id) as session:
            outputs = _load_outputs(session, job, ExportStatus.MAPPING_COLUMNS)
            kept = session.get(ExportPartialFailures, job.export_id)
        return MappedRows.model_validate({**outputs, "partial_failures": kept.reports if kept else ()})

    def start_stage(self, job: ExportJob, stage: ExportStatus) -> int | None:
        """Enter the stage; or how many rows it had, if its outputs stand already."""
        with self._database.transaction(job.org_id) as session:
            export = lock_active_export(session, job)
            done = session.get(ExportStageOutput, (job.export_id, stage))
            if done is not None:
                return done.rows
            tries = _enter_stage(session, job, stage, export)
        _fail_after_too_many_crashes(tries, stage)
        return None

    def uncount_crash(self, job: ExportJob, stage: ExportStatus) -> None:
        """A try that failed for a reason which is not the stage's own does not count."""
        with self._database.transaction(job.org_id) as session:
            session.execute(
                update(ExportStageCrashes)
                .where(*_crash_count_conditions(job, stage), col(ExportStageCrashes.unanswered) > 0)
                .values(unanswered=col(ExportStageCrashes.unanswered) - 1)
            )

    def finish_stage(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
        """Commit what a stage leaves; false if another execution of it was first."""
        with self._database.transaction(job.org_id) as session:
            if lock_active_export(session, job).status is not stage:
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
            _append_partial_failures(session, job, outputs)
            if stage is ExportStatus.MAPPING_COLUMNS:
                delete_mapped_parts(session, job)
            values = {"progress": build_progress(stage, outputs.rows, outputs.rows), **_export_columns_from(outputs)}
            session.execute(update(Export).where(col(Export.id) == job.export_id).values(values))
            return True

    def record_progress(self, job: ExportJob, stage: ExportStatus, done: int, total: int) -> None:
        with self._database.transaction(job.org_id) as session:
            session.execute(update_if_running(job, stage).values(progress=build_progress(stage, done, total)))

    def record_unavailable(self, job: ExportJob, stage: ExportStatus, service: str) -> None:
        """Say what is away; the engine tries again, and what is told then tells that it is back."""
        told = func.jsonb_set(col(Export.progress), ["waiting_for"], func.to_jsonb(cast(service, Text)))
        with self._database.transaction(job.org_id) as session:
            session.execute(update_if_running(job, stage).values(progress=told))

    def invalidate_outputs(self, job: ExportJob) -> None:
        """Something of theirs is lost in storage: the next attempt begins anew."""
        with self._database.transaction(job.org_id) as session:
            lock_active_export(session, job)
            delete_outputs(session, job)

    def restart_stage(self, job: ExportJob, stage: ExportStatus) -> None:
        """Begin the stage once more; the try is counted whatever becomes of the transition."""
        with self._database.transaction(job.org_id) as session:
            tries = _enter_stage(session, job, stage, lock_active_export(session, job))
        _fail_after_too_many_crashes(tries, stage)


def _enter_stage(session: Session, job: ExportJob, stage: ExportStatus, export: Export) -> int:
    """How often it was begun without an answer, this time included."""
    progress, tries = build_progress(stage, 0, 0), _increment_crashes(session, job, stage)
    if export.status is stage:
        session.execute(update_if_running(job, stage).values(progress=progress))
    elif tries <= MAX_CRASHES:
        try:
            with session.begin_nested():
                step = ExportTransitionEvent(status=stage, event="stage_started", actor=audit_trail.WORKER_ACTOR)
                transition_export(session, job, step, progress=progress)
        except DBAPIError as error:
            if not error.connection_invalidated:
                session.commit()  # the transition is refused, the try is counted
            raise
    return tries


def _fail_after_too_many_crashes(crashes: int, stage: ExportStatus) -> None:
    if crashes > MAX_CRASHES:
        message = "The stage did not end, however often it was begun; it can be tried again."
        raise ExportError(ERROR_CODE_BY_STAGE[stage], message, retryable=True)


def _load_outputs(session: Session, job: ExportJob, stage: ExportStatus) -> JsonObject:
    return session.get_one(ExportStageOutput, (job.export_id, stage)).outputs


def _crash_count_conditions(job: ExportJob, stage: ExportStatus) -> tuple[Any, ...]:
    return (
        col(ExportStageCrashes.export_id) == job.export_id,
        col(ExportStageCrashes.attempt) == job.attempt,
        col(ExportStageCrashes.stage) == stage,
    )


def _increment_crashes(session: Session, job: ExportJob, stage: ExportStatus) -> int:
    row = insert(ExportStageCrashes).values(
        export_id=job.export_id, attempt=job.attempt, stage=stage, org_id=job.org_id, unanswered=1
    )
    again = row.on_conflict_do_update(
        constraint=ExportStageCrashes.__table__.primary_key,  # type: ignore[attr-defined]  # SQLModel hides its table
        set_={"unanswered": col(ExportStageCrashes.unanswered) + 1},
    )
    return session.scalars(again.returning(col(ExportStageCrashes.unanswered))).one()


def _append_partial_failures(session: Session, job: ExportJob, outputs: StageOutputs) -> None:
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


def _export_columns_from(outputs: StageOutputs) -> dict[str, Any]:
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
