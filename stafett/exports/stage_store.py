"""Inputs, outputs, progress and crash counts of stages; each method is one transaction."""

from typing import Any

from sqlalchemy import delete, literal, update
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.database.tables import (
    Export,
    ExportPartialFailures,
    ExportStageCrashes,
    ExportStageOutput,
)
from stafett.domain.errors import ExportError
from stafett.domain.export import ExportCounts, PartialFailureReport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import BundledFile, MappedRows, QueriedRows, ReportFile, StageOutputs
from stafett.domain.export_status import ERROR_CODE_BY_STAGE, ExportStatus
from stafett.exports.stage_inputs import StageInputs, load_inputs
from stafett.exports.state import (
    build_progress,
    delete_mapped_parts,
    delete_outputs,
    is_crash_count_of,
    lock_active_export,
    set_waiting_for,
    update_if_running,
)
from stafett.jobs.state import JobEvent, transition_job

_SEPARATE_FIELDS = {"partial_failures", "deviations"}
"""Fields of outputs that have a table of their own."""

MAX_CRASHES = 10
"""How many executions of a stage may end in a crash of their worker before the attempt fails."""

MAX_UNEXPECTED_ERRORS = MAX_CRASHES // 2
"""How many may raise an unexpected error, which counts twice: it is certainly the stage's own."""

MAX_SHARED_CRASHES = 2
"""How many of them may have run beside other stages, any of which may have crashed the worker."""


class SuspectedStageError(Exception):
    """The stage has crashed too often beside other stages, and must run alone now."""


class StageStore:
    """The worker's access to a running export."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start_stage(self, job: ExportJob, stage: ExportStatus, *, is_isolated: bool = False) -> StageInputs:
        """Enter the stage and load its inputs; do not enter it if the inputs show that its outputs are committed.

        Raise ``SuspectedStageError``, without counting the execution, if the stage may only run in isolation.
        """
        with self._database.transaction(job.org_id) as session:
            export = lock_active_export(session, job)
            inputs = load_inputs(session, job, export, stage)
            if stage in inputs.outputs:
                return inputs
            crashes = _enter_stage(session, job, stage, export)
            if MAX_SHARED_CRASHES < crashes <= MAX_CRASHES and not is_isolated:
                raise SuspectedStageError
        _fail_after_too_many_crashes(crashes, stage)
        return inputs

    def uncount_execution(self, job: ExportJob, stage: ExportStatus) -> None:
        """Subtract an execution that was cancelled, or that failed because a dependency was unavailable."""
        with self._database.transaction(job.org_id) as session:
            session.execute(
                update(ExportStageCrashes)
                .where(is_crash_count_of(job, stage), col(ExportStageCrashes.crashes) > 0)
                .values(crashes=col(ExportStageCrashes.crashes) - 1)
            )

    def count_unexpected_error(self, job: ExportJob, stage: ExportStatus) -> None:
        """Count an execution, which is counted already, for a second time."""
        with self._database.transaction(job.org_id) as session:
            _count_execution(session, job, stage)

    def finish_stage(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
        """Commit a stage's outputs; return false if another execution of the stage was first."""
        with self._database.transaction(job.org_id) as session:
            if not _insert_outputs(session, job, stage, outputs):
                lock_active_export(session, job)  # raises if this attempt has ended
                return False  # a later stage is running, and these outputs may be invalidated by now
            _append_partial_failures(session, job, outputs)
            if isinstance(outputs, MappedRows) and len(outputs.parts) > 1:  # an only part is not stored separately
                delete_mapped_parts(session, job)
            values = {"progress": build_progress(stage, outputs.rows, outputs.rows), **_export_columns_from(outputs)}
            session.execute(update(Export).where(col(Export.id) == job.export_id).values(values))
            return True

    def record_progress(self, job: ExportJob, stage: ExportStatus, done: int, total: int) -> None:
        with self._database.transaction(job.org_id) as session:
            session.execute(update_if_running(job, stage).values(progress=build_progress(stage, done, total)))

    def record_unavailable(self, job: ExportJob, stage: ExportStatus, service: str) -> None:
        """Record the unavailable service, also if it prevented the start of the first stage; Temporal retries."""
        with self._database.transaction(job.org_id) as session:
            set_waiting_for(session, job, (stage, ExportStatus.INITIALISED), service)

    def invalidate_outputs(self, job: ExportJob) -> None:
        """Delete all stage outputs because an object is lost; the user's next retry starts from the first stage."""
        with self._database.transaction(job.org_id) as session:
            lock_active_export(session, job)
            delete_outputs(session, job)

    def start_final_stage(self, job: ExportJob, stage: ExportStatus) -> None:
        """Enter the last stage, which has no outputs that an earlier execution could have committed."""
        with self._database.transaction(job.org_id) as session:
            crashes = _enter_stage(session, job, stage, lock_active_export(session, job))
        _fail_after_too_many_crashes(crashes, stage)


def _enter_stage(session: Session, job: ExportJob, stage: ExportStatus, export: Export) -> int:
    """Count this execution and enter the stage; return the count, which is final if the worker crashes from here on."""
    progress, crashes = build_progress(stage, 0, 0), _count_execution(session, job, stage)
    if export.status is stage:
        session.execute(update_if_running(job, stage).values(progress=progress))
    elif crashes <= MAX_CRASHES:
        try:
            with session.begin_nested():
                transition_job(
                    session, export, stage, JobEvent("stage_started", audit_trail.WORKER_ACTOR), progress=progress
                )
        except DBAPIError as error:
            if not error.connection_invalidated:
                session.commit()  # the database refused the transition; the execution is counted
            raise
    return crashes


def _fail_after_too_many_crashes(crashes: int, stage: ExportStatus) -> None:
    if crashes > MAX_CRASHES:
        message = "The stage failed too many times; retry the export."
        raise ExportError(ERROR_CODE_BY_STAGE[stage], message, retryable=True)


def _insert_outputs(session: Session, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
    """Lock the export's row while the stage is running, and insert its outputs; return false if there are any."""
    running = (
        select(Export.id)
        .where(Export.id == job.export_id, Export.attempt == job.attempt, Export.status == stage)
        .with_for_update()
        .cte()
    )
    values: dict[Any, Any] = {
        ExportStageOutput.export_id: running.c.id,
        ExportStageOutput.stage: literal(stage.value),
        ExportStageOutput.org_id: literal(job.org_id),
        ExportStageOutput.attempt: literal(job.attempt),
        ExportStageOutput.rows: literal(outputs.rows),
        ExportStageOutput.outputs: literal(outputs.model_dump(mode="json", exclude=_SEPARATE_FIELDS), JSONB),
    }
    row = insert(ExportStageOutput).from_select(list(values), select_columns(*values.values()))
    return session.scalar(row.on_conflict_do_nothing().returning(col(ExportStageOutput.rows))) is not None


def _count_execution(session: Session, job: ExportJob, stage: ExportStatus) -> int:
    row = insert(ExportStageCrashes).values(
        export_id=job.export_id, attempt=job.attempt, stage=stage, org_id=job.org_id, crashes=1
    )
    upsert = row.on_conflict_do_update(
        constraint=ExportStageCrashes.__table__.primary_key,  # type: ignore[attr-defined]  # SQLModel hides its table
        set_={"crashes": col(ExportStageCrashes.crashes) + 1},
    )
    return session.scalars(upsert.returning(col(ExportStageCrashes.crashes))).one()


def _append_partial_failures(session: Session, job: ExportJob, outputs: StageOutputs) -> None:
    """Append the stage's partial failures to those of earlier stages, and store the mapping's deviating rows."""
    if not isinstance(outputs, (MappedRows, BundledFile)):
        return
    if isinstance(outputs, BundledFile) and not outputs.partial_failures:
        return
    delete_earlier = (
        delete(ExportPartialFailures)
        .where(col(ExportPartialFailures.export_id) == job.export_id)
        .returning(col(ExportPartialFailures.reports), col(ExportPartialFailures.deviations))
    )
    reports, deviations = session.execute(delete_earlier).one_or_none() or ([], None)
    earlier = (PartialFailureReport.model_validate(report) for report in reports)
    failures = PartialFailureReport.truncate((*earlier, *outputs.partial_failures))
    if isinstance(outputs, MappedRows):
        deviations = outputs.deviations.model_dump(mode="json")
    elif outputs.deviations is not None:
        deviations = (deviations or {}) | {"attachments": outputs.deviations.model_dump(mode="json")}
    row = insert(ExportPartialFailures).values(
        export_id=job.export_id,
        org_id=job.org_id,
        reports=[failure.model_dump(mode="json") for failure in failures],
        deviations=deviations,
    )
    session.execute(row)


def _export_columns_from(outputs: StageOutputs) -> dict[str, Any]:
    """Return the columns of the export's row that show a stage's outputs."""
    match outputs:
        case QueriedRows():
            return {"counts": ExportCounts(queried=outputs.rows).model_dump()}
        case MappedRows():
            fields = {"counts", "not_countable", "mapping", "warnings", "partial_failure_count"}
            return outputs.model_dump(mode="json", include=fields)
        case BundledFile(file=file, partial_failures=failures):
            count = col(Export.partial_failure_count) + len(failures)
            return {"file": file.model_dump(mode="json"), "partial_failure_count": count}
        case ReportFile():
            return {"file": outputs.model_dump(mode="json")}
