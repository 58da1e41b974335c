"""The stages of a running export, as the worker writes them down.

Any stage may run twice, even at the same time: whoever commits its outputs first has done it, the other one's
are thrown away. Nobody writes for an attempt that is over.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett import export_audit
from stafett.database.session import Database
from stafett.database.tables import Export, ExportAttempt, ExportStageOutput
from stafett.domain.errors import ServiceAwayError, StaleAttemptError
from stafett.domain.export import ExportParameters
from stafett.domain.export_job import ExportEnd, ExportFailing, ExportJob, StageReceipt
from stafett.domain.export_outputs import MappedRows, Part, QueriedRows, ReportFile, StageOutputs
from stafett.domain.export_status import ExportStatus
from stafett.export_audit import AuditEntry
from stafett.file_storage import FileStorage, StoredObject

Outputs = TypeVar("Outputs", QueriedRows, MappedRows, ReportFile)
_SECONDS_BETWEEN_PROGRESS = 0.5


class Work(Protocol):
    """What a stage does, apart from being a stage."""

    def __call__(self, job: ExportJob, bench: "Workbench", /) -> StageOutputs: ...


class Workbench:
    """One execution of one stage: a place in storage of its own, and a way to say how far it has come."""

    def __init__(
        self, storage: FileStorage, prefix: str, report: Callable[[int, int], None], go_on: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._report = report
        self._go_on = go_on
        self._reported_at = 0.0
        self.prefix = prefix

    def put_part(self, number: int, content: bytes, rows: int) -> Part:
        stored = self._storage.write(f"{self.prefix}part-{number:05}.arrow", [content])
        return Part(key=stored.key, rows=rows, sha256=stored.sha256)

    def put_file(self, name: str, chunks: Iterable[bytes], mime_type: str) -> StoredObject:
        return self._storage.write(self.prefix + name, chunks, mime_type)

    def progress(self, done: int, total: int) -> None:
        """Rows done of rows to do, written down at most twice a second; and the place where a cancel is heard."""
        self._go_on()
        now = time.monotonic()
        if now - self._reported_at >= _SECONDS_BETWEEN_PROGRESS:
            self._reported_at = now
            self._report(done, total)


class ExportStages:
    """The worker's side of the ``exports`` table."""

    def __init__(
        self, database: Database, storage: FileStorage, *, actor: str = export_audit.WORKER, go_on: Callable[[], None]
    ) -> None:
        self._database = database
        self._storage = storage
        self._actor = actor
        self._go_on = go_on  # raises when the work is to stop

    def perform(self, job: ExportJob, stage: ExportStatus, work: Work) -> StageReceipt:
        """Do a stage's work and commit it, unless an earlier execution has."""
        if (rows := self._begin(job, stage)) is not None:
            return StageReceipt(stage=stage, rows=rows, reused=True)
        bench = self._workbench(job, stage)
        try:
            outputs = work(job, bench)
            is_ours = self._finish(job, stage, outputs)
        except BaseException:
            self._sweep(bench)
            raise
        if not is_ours:
            self._sweep(bench)
        return StageReceipt(stage=stage, rows=outputs.rows)

    def outputs(self, job: ExportJob, stage: ExportStatus, kind: type[Outputs]) -> Outputs:
        with self._database.transaction(job.org_id) as session:
            return kind.model_validate(session.get_one(ExportStageOutput, (job.export_id, stage)).outputs)

    def parameters(self, job: ExportJob) -> ExportParameters:
        with self._database.transaction(job.org_id) as session:
            return ExportParameters.model_validate(session.get_one(Export, job.export_id).parameters)

    def complete(self, job: ExportJob) -> ExportEnd:
        """The last step of a report that is there: from here on it can be downloaded."""
        file = self.outputs(job, ExportStatus.STORING_FILE, ReportFile)
        with self._unless_ended_as(job, ExportStatus.COMPLETED):
            self._begin(job, ExportStatus.RECORDING_AUDIT)
            detail: export_audit.Detail = {"rows": file.rows, "sha256": file.sha256}
            done = _progress(ExportStatus.RECORDING_AUDIT, file.rows, file.rows)
            self._end(job, ExportStatus.COMPLETED, "export_completed", detail, progress=done)
        return ExportEnd(status=ExportStatus.COMPLETED, row_count=file.rows)

    def complete_empty(self, job: ExportJob) -> ExportEnd:
        with self._unless_ended_as(job, ExportStatus.COMPLETED_EMPTY):
            self._end(job, ExportStatus.COMPLETED_EMPTY, "export_completed", {"rows": 0})
        return ExportEnd(status=ExportStatus.COMPLETED_EMPTY)

    def fail(self, failing: ExportFailing) -> None:
        """Say why, unless somebody else has ended the attempt already."""
        error = {"code": failing.code, "message": failing.message, "retryable": failing.retryable}
        with suppress(StaleAttemptError):
            self._end(failing.job, ExportStatus.FAILED, "export_failed", {"code": failing.code}, error=error)

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

    def _workbench(self, job: ExportJob, stage: ExportStatus) -> Workbench:
        def report(done: int, total: int) -> None:
            with self._database.transaction(job.org_id) as session:
                session.execute(
                    update(Export)
                    .where(col(Export.id) == job.export_id, col(Export.attempt) == job.attempt)
                    .where(col(Export.status) == stage)
                    .values(progress=_progress(stage, done, total))
                )

        prefix = f"exports/{job.org_id}/{job.export_id}/{job.attempt}-{stage}-{uuid4().hex[:8]}/"
        return Workbench(self._storage, prefix, report, self._go_on)

    def _sweep(self, bench: Workbench) -> None:
        with suppress(ServiceAwayError):  # what is left then, retention finds
            self._storage.remove_below(bench.prefix)

    def _begin(self, job: ExportJob, stage: ExportStatus) -> int | None:
        """Enter the stage; or how many rows it had, if its outputs stand already."""
        with self._database.transaction(job.org_id) as session:
            export = _held(session, job)
            done = session.get(ExportStageOutput, (job.export_id, stage))
            if done is not None:
                return done.rows
            if export.status != stage:
                self._move(session, job, stage, "stage_started", progress=_progress(stage, 0, 0))
            return None

    def _finish(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
        with self._database.transaction(job.org_id) as session:
            _held(session, job)
            row = insert(ExportStageOutput).values(
                export_id=job.export_id,
                stage=stage,
                org_id=job.org_id,
                attempt=job.attempt,
                rows=outputs.rows,
                outputs=outputs.model_dump(mode="json"),
            )
            first = session.scalar(row.on_conflict_do_nothing().returning(col(ExportStageOutput.rows)))
            if first is None:
                return False
            session.execute(
                update(Export)
                .where(col(Export.id) == job.export_id)
                .values(progress=_progress(stage, outputs.rows, outputs.rows), **_shown(outputs))
            )
            return True

    def _end(
        self,
        job: ExportJob,
        status: ExportStatus,
        event: str,
        detail: export_audit.Detail,
        **values: Any,
    ) -> None:
        now = datetime.now(UTC)
        with self._database.transaction(job.org_id) as session:
            export = _held(session, job)
            session.execute(
                update(ExportAttempt)
                .where(col(ExportAttempt.export_id) == export.id, col(ExportAttempt.number) == job.attempt)
                .values(ended_at=now, outcome=status)
            )
            self._move(session, job, status, event, detail, completed_at=now, **values)

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


def _held(session: Session, job: ExportJob) -> Export:
    """The job's row, locked until the transaction ends, if this attempt still has the right to write to it."""
    export = session.exec(select(Export).where(Export.id == job.export_id).with_for_update()).one()
    if export.attempt != job.attempt or export.status.is_final or export.status is ExportStatus.CANCELLING:
        raise StaleAttemptError("This attempt at the export is over.")
    return export


def _progress(stage: ExportStatus, done: int, total: int) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"stage": stage, "done": done, "total": total, "waiting_for": None, "updated_at": at}


def _shown(outputs: StageOutputs) -> dict[str, Any]:
    """What of a stage's outputs the job itself shows."""
    match outputs:
        case QueriedRows():
            return {
                "counts": {"queried": outputs.rows, "written": 0, "countable": 0, "not_countable": 0, "rejected": 0}
            }
        case MappedRows():
            return outputs.model_dump(
                mode="json", include={"counts", "mapping", "partial_failures", "partial_failure_count"}
            )
        case ReportFile():
            return {"file": outputs.model_dump(mode="json")}
