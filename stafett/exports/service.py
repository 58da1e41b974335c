"""The API's operations on exports: accept, find, list, and read audit events."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple
from uuid import UUID, uuid4

from pydantic import Field, StrictInt, TypeAdapter
from sqlalchemy import insert
from sqlmodel import Session, col, select

from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.pagination import (
    DEFAULT_PAGE_SIZE,
    ListFilter,
    Page,
    PageSize,
    PageToken,
    SortKey,
    check_page_token,
    load_page,
    require_known_organisation,
    select_visible,
)
from stafett.database.session import Database
from stafett.database.tables import AuditEvent, Export, ExportAttempt, ExportPartialFailures
from stafett.domain.errors import NotFoundError, PermissionDeniedError
from stafett.domain.export import ExportOrigin, ExportRequest, PartialFailureReport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.exports.state import set_waiting_for
from stafett.jobs.commands import get_job_or_404
from stafett.jobs.state import JobEvent, append_job_event

START_OPERATION = "bufdir-exports.start"
_SEQ_ORDER = SortKey(("seq",), TypeAdapter(tuple[Annotated[StrictInt, Field(gt=0, lt=2**63)]]))


class ReexportOrigin(NamedTuple):
    """The re-export that an export belongs to, and the export whose snapshot it copies, if any."""

    reexport_id: UUID
    source_export_id: UUID | None
    origin: ExportOrigin = ExportOrigin.REEXPORT


class ExportDetails(NamedTuple):
    """An export with its attempts and partial failures."""

    export: Export
    attempts: Sequence[ExportAttempt]
    partial_failures: Sequence[PartialFailureReport] = ()
    is_new: bool = False
    """Whether this call has accepted it."""


class ExportFilter(ListFilter):
    """Filters of the export list."""

    status: ExportStatus | None = Field(None, description="Only exports with this status.")


class AuditEventFilter(FrozenModel):
    """The requested page of an export's audit events."""

    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None


def authorise_start(caller: Caller, request: ExportRequest) -> None:
    if request.requesting_user_id != caller.user_id:
        raise PermissionDeniedError("An export can only be requested in the caller's own name.")
    if not caller.can_start_in(request.org_id):
        raise PermissionDeniedError("You may not start an export for this organisation.")


class ExportService:
    """Accepts, finds and lists exports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_unavailable(self, job: ExportJob, service: str) -> None:
        """Record which service an accepted job waits for, because its run could not be started."""
        with self._database.transaction(job.org_id) as session:
            set_waiting_for(session, job, (ExportStatus.INITIALISED,), service)

    def accept(self, caller: Caller, request: ExportRequest, idempotency_key: str | None = None) -> ExportDetails:
        """Commit the job, its idempotency key and its first audit event together; only PostgreSQL is needed."""
        authorise_start(caller, request)
        new_id = uuid4()
        with self._database.transaction(request.org_id, user_id=caller.user_id) as session:
            scope = IdempotencyScope(request.org_id, START_OPERATION, idempotency_key)
            export_id = claim_idempotency_key(session, scope, request.parameters, new_id)
            if export_id != new_id:
                return _load_details(session, session.get_one(Export, export_id))
            return insert_export(session, new_id, request, caller.actor)

    def find(self, caller: Caller, export_id: UUID) -> ExportDetails:
        with self._database.caller_transaction(caller) as session:
            return _load_details(session, get_job_or_404(session, Export, export_id))

    def list(self, caller: Caller, filters: ExportFilter) -> Page[Export]:
        with self._database.caller_transaction(caller) as session:
            require_known_organisation(session, caller, filters.org_id)
            return load_page(session, Export, select_visible(Export, caller, filters), filters)


def _load_details(session: Session, export: Export) -> ExportDetails:
    attempts = select(ExportAttempt).where(ExportAttempt.export_id == export.id)
    reports = select(ExportPartialFailures.reports).where(ExportPartialFailures.export_id == export.id)
    return ExportDetails(
        export,
        session.exec(attempts.order_by(col(ExportAttempt.number))).all(),
        [PartialFailureReport.model_validate(report) for report in session.exec(reports).one_or_none() or ()],
    )


def insert_export(
    session: Session, export_id: UUID, request: ExportRequest, actor: str, reexport_origin: ReexportOrigin | None = None
) -> ExportDetails:
    """Insert the job, its first attempt and its first audit event; the caller commits."""
    period = request.reporting_period
    row = insert(Export).values(
        id=export_id,
        org_id=request.org_id,
        requested_by=request.requesting_user_id,
        parameters=request.parameters.model_dump(mode="json"),
        period_start=period.first_instant,
        period_end=period.last_instant,
        status=ExportStatus.INITIALISED,
        attempt=1,
        audit_id=uuid4(),
        **(reexport_origin._asdict() if reexport_origin else {}),
    )
    export = session.scalars(row.returning(Export)).one()
    attempt = insert(ExportAttempt).values(export_id=export_id, number=1, org_id=request.org_id)
    attempts = session.scalars(attempt.returning(ExportAttempt)).all()
    event = JobEvent("export_requested", actor, {"export_format": request.export_format})
    append_job_event(session, export, event, status=export.status, event_id=export.audit_id)
    return ExportDetails(export, attempts, is_new=True)


class ExportAuditTrail:
    """Reads an export's events from its organisation's audit chain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_events(self, caller: Caller, export_id: UUID, page: AuditEventFilter) -> Page[AuditEvent]:
        """List events, oldest first."""
        check_page_token(page, AuditEvent, _SEQ_ORDER)
        with self._database.caller_transaction(caller) as session:
            export = session.get(Export, export_id)
            if export is None:
                raise NotFoundError("There is no such export.")
            if not caller.can_read_audit_of(export.org_id, export.requested_by):
                raise PermissionDeniedError("You may not read the audit trail of this export.")
            query = select(AuditEvent).where(AuditEvent.org_id == export.org_id, AuditEvent.subject_id == export_id)
            return load_page(session, AuditEvent, query, page, _SEQ_ORDER)
