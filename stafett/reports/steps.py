"""Steps of a re-export besides its child export; each commits once, even if executed repeatedly or concurrently."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import func, update
from sqlmodel import Session, col

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.database.tables import Export, JsonObject, Reexport, Report, ReportFileVersion
from stafett.domain.errors import ExportError, ServiceUnavailableError, StaleAttemptError
from stafett.domain.export import ExportParameters, ExportRequest
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.notification import JobOutcome, JobType
from stafett.domain.reexport import ReexportRequest, ReexportSource, build_export_parameters
from stafett.domain.reexport_job import HistoricalRecord, ReexportJob
from stafett.domain.reexport_status import REEXPORT_ERROR_CODE_BY_STATUS, RESULT_STORED_STATUSES, ReexportStatus
from stafett.exports.file_removal import start_file_removal
from stafett.exports.service import ReexportOrigin, insert_export
from stafett.exports.stage_runner import TRANSIENT_ERRORS
from stafett.exports.stage_store import MAX_UNEXPECTED_ERRORS
from stafett.jobs.state import JobEvent, lock_active_job, transition_job, update_job
from stafett.notifications.outbox import JobCompletion, enqueue_notifications
from stafett.reports.comparison import VersionComparison
from stafett.reports.history import VersionOrigin, add_version, get_latest_version
from stafett.reports.snapshots import is_expired

_NOW = func.clock_timestamp()


class ReexportSteps:
    """Steps that a worker executes for a running re-export."""

    def __init__(
        self,
        database: Database,
        compare_versions: VersionComparison,
        remove_files: Callable[[ExportJob], bool],
        *,
        notify_by_email: bool = False,
    ) -> None:
        self._database = database
        self._compare_versions = compare_versions
        self._remove_files = remove_files
        self._notify_by_email = notify_by_email
        self._crash_counter = CrashCounter(database)

    def load_original_parameters(self, job: ReexportJob, run_id: str) -> HistoricalRecord:
        """Store the run id and load the original's parameters from PostgreSQL; Temporal's history may be gone."""
        with self._crash_counter.guard(job), self._database.transaction(job.org_id) as session:
            row = lock_active_job(session, Reexport, job)
            update_job(session, row, run_id=run_id)
            request = ReexportRequest.model_validate(row.request)
            source = (
                session.get_one(Export, row.source_export_id)
                if row.source_export_id
                else session.get_one(Report, job.report_id)
            )
            parameters = ExportParameters.model_validate(source.parameters)
            return HistoricalRecord(
                job=job, parameters=parameters, overrides=request.overrides, source_export_id=row.source_export_id
            )

    def insert_child_export(self, record: HistoricalRecord) -> ExportJob:
        """Insert the child export that generates the file, or return the one that an earlier execution inserted."""
        job = record.job
        with self._crash_counter.guard(job), self._database.transaction(job.org_id) as session:
            row = lock_active_job(session, Reexport, job)
            if row.export_id is not None:
                return session.get_one(Export, row.export_id).job
            request = ExportRequest(
                **build_export_parameters(record.parameters, record.overrides).model_dump(),
                org_id=job.org_id,
                requesting_user_id=row.requested_by,
            )
            origin = ReexportOrigin(job.reexport_id, record.source_export_id)
            export = insert_export(session, uuid4(), request, audit_trail.WORKER_ACTOR, origin).export
            event = JobEvent("stage_started", audit_trail.WORKER_ACTOR, {"export_id": str(export.id)})
            transition_job(session, row, ReexportStatus.EXPORTING, event, export_id=export.id)
            return export.job

    def store_result(self, job: ReexportJob) -> None:
        """Add the file to the history, compared with the version that is the latest when it is added.

        A re-export of current data that changes nothing adds no version: its result is the latest version.
        """
        if self._start_storing(job):
            return
        with self._crash_counter.guard(job):
            while not self._try_store(job):
                pass  # another version was added meanwhile; compare with that one
        self._discard_export_if_unchanged(job)

    def enqueue_completion_notifications(self, job: ReexportJob) -> None:
        """Enqueue the notifications once, unless a client has already marked them as sent."""
        with self._crash_counter.guard(job), self._database.transaction(job.org_id) as session:
            row = lock_active_job(session, Reexport, job)
            if row.notified_at is None:
                completion = JobCompletion(JobType.REEXPORT, job, JobOutcome.COMPLETED, requested_by=row.requested_by)
                enqueue_notifications(session, completion, notify_by_email=self._notify_by_email)
                update_job(session, row, notified_at=_NOW)

    def _start_storing(self, job: ReexportJob) -> bool:
        """Enter the storing step; return whether an earlier execution has already stored the result."""
        with self._database.transaction(job.org_id) as session:
            row = lock_active_job(session, Reexport, job)
            if row.status is ReexportStatus.EXPORTING:
                _require_file(session.get_one(Export, row.export_id))
                event = JobEvent("stage_started", audit_trail.WORKER_ACTOR)
                transition_job(session, row, ReexportStatus.STORING_RESULT, event)
            return row.status in RESULT_STORED_STATUSES

    def _discard_export_if_unchanged(self, job: ReexportJob) -> None:
        """Remove the files of an export that has changed nothing; retention does it if this is interrupted."""
        with self._database.transaction(job.org_id) as session:
            row = session.get_one(Reexport, job.reexport_id)
            export = session.get_one(Export, row.export_id)
        if row.unchanged:
            with suppress(ServiceUnavailableError):
                self._remove_files(export.job)

    def _try_store(self, job: ReexportJob) -> bool:
        with self._database.transaction(job.org_id) as session:
            row = session.get_one(Reexport, job.reexport_id)
            export = session.get_one(Export, row.export_id)
            before = get_latest_version(session, job.report_id)
        difference = self._compare_versions(before, export)
        with self._database.transaction(job.org_id) as session:
            row = lock_active_job(session, Reexport, job)
            if row.status in RESULT_STORED_STATUSES:
                return True
            if get_latest_version(session, job.report_id).version != before.version:
                return False
            _require_file(session.get_one(Export, export.id, with_for_update=True, populate_existing=True))
            request = ReexportRequest.model_validate(row.request)
            is_unchanged = difference.is_none and request.source is ReexportSource.CURRENT_DATA
            if result := _find_stored_result(session, before) if is_unchanged else None:
                start_file_removal(session, export.job)
            else:
                is_unchanged = False
                origin = VersionOrigin(row.id, request.source, request.reason, difference.change.model_dump())
                result = _StoredResult(export.file or {}, add_version(session, export, origin, before), export.id)
            detail = {"version": result.file_version, "sha256": result.file["sha256"]}
            event = JobEvent("result_unchanged" if is_unchanged else "result_stored", audit_trail.WORKER_ACTOR, detail)
            values = {"unchanged": is_unchanged, **result._asdict()}
            transition_job(session, row, ReexportStatus.NOTIFYING, event, **values)
            return True


class _StoredResult(NamedTuple):
    """Columns of a re-export that name its result: a file, its version, and the export under whose prefix it is."""

    file: JsonObject
    file_version: int
    result_export_id: UUID


def _find_stored_result(session: Session, version: ReportFileVersion) -> _StoredResult | None:
    """Return the result that a version is, and lock its export; None if the file is not in storage any more."""
    reexport = session.get(Reexport, version.reexport_id) if version.reexport_id else None
    file, export_id = version.file, version.export_id
    if reexport and reexport.file and reexport.result_export_id:  # an administrator may have moved the file
        file, export_id = reexport.file, reexport.result_export_id
    export = session.get_one(Export, export_id, with_for_update=True, populate_existing=True)
    is_missing = export.file_missing_since is not None and export.file == file
    return None if is_expired(export) or is_missing else _StoredResult(file, version.version, export_id)


def _require_file(export: Export) -> None:
    if export.status is not ExportStatus.COMPLETED or is_expired(export):
        message = "The file of this re-export is no longer in storage; request a new re-export."
        raise ExportError(ExportErrorCode.STORAGE_UNAVAILABLE, message, retryable=True)


_TOO_MANY_CRASHES = "The re-export failed repeatedly; request a new re-export."


class CrashCounter:
    """Limit on how often a step may crash its worker or fail unexpectedly; a transition sets the count to zero."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def guard(self, job: ReexportJob) -> Iterator[None]:
        """Count the execution before it starts, and uncount it if it returns or raises an expected error."""
        status, crashes = self._increment(job)
        if crashes > MAX_UNEXPECTED_ERRORS:
            raise ExportError(
                REEXPORT_ERROR_CODE_BY_STATUS.get(status, ExportErrorCode.INTERNAL), _TOO_MANY_CRASHES, retryable=True
            )
        try:
            yield
        except (*TRANSIENT_ERRORS, ExportError, StaleAttemptError):
            with suppress(*TRANSIENT_ERRORS):
                self._decrement(job)
            raise
        self._decrement(job)

    def _increment(self, job: ReexportJob) -> tuple[ReexportStatus, int]:
        with self._database.transaction(job.org_id) as session:
            row = lock_active_job(session, Reexport, job)
            update_job(session, row, crashes=col(Reexport.crashes) + 1)
            return row.status, row.crashes

    def _decrement(self, job: ReexportJob) -> None:
        is_counted = (col(Reexport.id) == job.reexport_id) & (col(Reexport.crashes) > 0)
        statement = update(Reexport).where(is_counted).values(crashes=col(Reexport.crashes) - 1)
        with self._database.transaction(job.org_id) as session:
            session.execute(statement)
