"""Accepts re-exports, one at a time for each report, and finds and lists them for the API."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from pydantic import Field
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key, find_claimed_id
from stafett.database.pagination import ListFilter, Page, load_page, require_known_organisation, select_visible
from stafett.database.session import Database
from stafett.database.tables import Export, JsonObject, Reexport, Report
from stafett.domain.errors import NotFinishedError, NotFoundError, PermissionDeniedError, ReexportInProgressError
from stafett.domain.export_outputs import ReportFile
from stafett.domain.membership import Caller
from stafett.domain.reexport import ReexportRequest, ReexportSource
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES, ReexportStatus
from stafett.jobs.commands import get_job_or_404
from stafett.jobs.state import JobEvent, append_job_event
from stafett.reports.snapshots import get_snapshot_or_410

START_OPERATION = "report-reexports.start"


class ReexportDetails(NamedTuple):
    """A re-export, its child export, and the export under whose prefix its result is stored."""

    reexport: Reexport
    export: Export | None = None
    result_export: Export | None = None
    is_new: bool = False
    """Whether this call has accepted it, and not an earlier one."""

    @property
    def changes(self) -> int:
        """Number of changes other than clients' edits; it only grows."""
        return self.reexport.changes + sum(export.changes for export in (self.export, self.result_export) if export)

    @property
    def file(self) -> ReportFile | None:
        return ReportFile.model_validate(self.reexport.file) if self.is_completed else None

    @property
    def progress(self) -> JsonObject | None:
        """Progress of the child export while it is running."""
        return self.export.progress if self.export and self.reexport.status is ReexportStatus.EXPORTING else None

    @property
    def is_completed(self) -> bool:
        return self.reexport.status is ReexportStatus.COMPLETED

    @property
    def downloadable_export(self) -> Export | None:
        """The export under whose prefix the result is stored, with the result as its file."""
        if self.result_export is None or not self.is_completed:
            return None
        result = {"file": self.reexport.file}
        if self.result_export.file != self.reexport.file:  # an administrator has replaced a missing file
            result["file_missing_since"] = None
        return Export(**self.result_export.model_dump() | result)


class ReexportFilter(ListFilter):
    """Filter of the list of re-exports."""

    status: ReexportStatus | None = Field(None, description="Only re-exports with this status.")
    report_id: UUID | None = Field(None, description="Only re-exports of this report.")


class ReexportService:
    """The API's access to the ``report_reexports`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, caller: Caller, request: ReexportRequest, idempotency_key: str | None = None) -> ReexportDetails:
        """Commit the job, its key and its first audit event together; only PostgreSQL is needed."""
        if caller.org_id is None:
            raise PermissionDeniedError("An operator may not re-export reports.")
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            report = _load_report(session, caller, request)
            scope = IdempotencyScope(report.org_id, START_OPERATION, idempotency_key)
            if claimed_id := find_claimed_id(session, scope, request):
                return load_details(session, [session.get_one(Reexport, claimed_id)])[0]
            return _accept_once(session, caller, request, report, scope)

    def find(self, caller: Caller, reexport_id: UUID) -> ReexportDetails:
        with self._database.caller_transaction(caller) as session:
            return load_details(session, [get_job_or_404(session, Reexport, reexport_id)])[0]

    def list(self, caller: Caller, filters: ReexportFilter) -> Page[ReexportDetails]:
        with self._database.caller_transaction(caller) as session:
            require_known_organisation(session, caller, filters.org_id)
            page = load_page(session, Reexport, select_visible(Reexport, caller, filters), filters)
            return Page(load_details(session, page.items), page.next_page_token)


def load_details(session: Session, rows: Sequence[Reexport]) -> Sequence[ReexportDetails]:
    """Load the exports of all re-exports in one query."""
    ids = {export_id for row in rows for export_id in (row.export_id, row.result_export_id) if export_id}
    exports = {export.id: export for export in session.exec(select(Export).where(col(Export.id).in_(ids)))}
    return [
        ReexportDetails(row, exports.get(row.export_id or row.id), exports.get(row.result_export_id or row.id))
        for row in rows
    ]


def _load_report(session: Session, caller: Caller, request: ReexportRequest) -> Report:
    report = session.get(Report, request.report_id)
    if report is None:
        export = session.get(Export, request.report_id)
        if export is not None and not export.status.is_final:
            raise NotFinishedError("This export has not ended and has no report yet.")
        raise NotFoundError("There is no such report.")
    if not caller.can_start_in(report.org_id):
        raise PermissionDeniedError("You may not re-export a report of this organisation.")
    return report


def _accept_once(
    session: Session, caller: Caller, request: ReexportRequest, report: Report, scope: IdempotencyScope
) -> ReexportDetails:
    """Accept the request; of two concurrent ones the second waits for the first to commit, then finds its job."""
    with session.begin_nested() as attempt:
        accepted = _insert_or_find_running(session, caller, request, report)
        job_id = accepted.reexport.id
        claimed_id = claim_idempotency_key(session, scope, request, job_id)
        if claimed_id != job_id:
            attempt.rollback()
    if claimed_id != job_id:
        return load_details(session, [session.get_one(Reexport, claimed_id)])[0]
    if accepted.is_new:
        row = accepted.reexport
        event = JobEvent("reexport_requested", caller.actor, {"source": request.source, "version": request.version})
        append_job_event(session, row, event, status=row.status, event_id=row.audit_id)
    return accepted


def _insert_or_find_running(
    session: Session, caller: Caller, request: ReexportRequest, report: Report
) -> ReexportDetails:
    while True:
        if running := _find_running(session, report.id):
            if ReexportRequest.model_validate(running.request) != request:
                raise ReexportInProgressError(running.id)
            return load_details(session, [running])[0]
        source_export_id = (
            get_snapshot_or_410(session, report, request) if request.source is ReexportSource.SAME_SNAPSHOT else None
        )
        if inserted := _insert(session, caller, request, report, source_export_id):
            return ReexportDetails(inserted, is_new=True)


def _find_running(session: Session, report_id: UUID) -> Reexport | None:
    is_open = col(Reexport.status).not_in(REEXPORT_FINAL_STATUSES)
    return session.exec(select(Reexport).where(Reexport.report_id == report_id, is_open)).first()


def _insert(
    session: Session, caller: Caller, request: ReexportRequest, report: Report, source_export_id: UUID | None
) -> Reexport | None:
    """Insert the job; return None if another re-export of this report is already running."""
    last_attempt = select(func.coalesce(func.max(Reexport.attempt), 0)).where(Reexport.report_id == report.id)
    statement = insert(Reexport).values(
        id=uuid4(),
        org_id=report.org_id,
        report_id=report.id,
        attempt=last_attempt.scalar_subquery() + 1,
        requested_by=caller.user_id,
        request=request.model_dump(mode="json"),
        source_export_id=source_export_id,
        period_start=report.period_start,
        period_end=report.period_end,
        status=ReexportStatus.PENDING,
        audit_id=uuid4(),
    )
    return session.scalars(statement.on_conflict_do_nothing().returning(Reexport)).one_or_none()
