"""The whole audit trail of an organisation, for those who supervise it, and the result of its last verification."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StrictInt, TypeAdapter
from sqlalchemy import func, text
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.database.pagination import (
    DEFAULT_PAGE_SIZE,
    Page,
    PageSize,
    PageToken,
    SortKey,
    check_page_token,
    load_page,
)
from stafett.database.session import Database
from stafett.database.tables import AuditEvent, AuditVerification, AuditVerificationRequest
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.fields import bound_id_prefix
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller

_REQUEST_VERIFICATION = text("""
INSERT INTO audit_verification_requests (org_id)
SELECT id FROM organisations o WHERE id = :org_id AND EXISTS (SELECT FROM audit_events WHERE org_id = o.id)
ON CONFLICT DO NOTHING
""")
# A loose index scan: one index lookup per name instead of a scan of the organisation's whole chain.
_SELECT_EVENT_NAMES = text("""
WITH RECURSIVE names AS (
    (SELECT event FROM audit_events WHERE org_id = :org_id ORDER BY event LIMIT 1)
    UNION ALL
    SELECT (SELECT e.event FROM audit_events e WHERE e.org_id = :org_id AND e.event > n.event ORDER BY e.event LIMIT 1)
    FROM names n WHERE n.event IS NOT NULL
)
SELECT event FROM names WHERE event IS NOT NULL ORDER BY event
""")
_NEWEST_FIRST = SortKey(("seq",), TypeAdapter(tuple[Annotated[StrictInt, Field(gt=0, lt=2**63)]]), newest_first=True)


class AuditTrailFilter(FrozenModel):
    """Filters of the audit trail. A filter that is None does not restrict it."""

    subject_id: UUID | None = None
    subject_id_prefix: str | None = None
    """The first hexadecimal digits of the subject's id, without hyphens."""
    actor: str | None = None
    actor_prefix: str | None = None
    """The beginning of an actor, or of the id in it."""
    event: str | None = None
    at_or_after: datetime | None = None
    at_or_before: datetime | None = None
    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None


class OrganisationAuditTrail:
    """Reads the audit trail of the caller's organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_events(self, caller: Caller, filters: AuditTrailFilter) -> Page[AuditEvent]:
        """List events, newest first."""
        org_id = _require_supervisor(caller)
        check_page_token(filters, AuditEvent, _NEWEST_FIRST)
        with self._database.caller_transaction(caller) as session:
            return load_page(session, AuditEvent, _select_events(org_id, filters), filters, _NEWEST_FIRST)

    def iterate_pages(self, caller: Caller, filters: AuditTrailFilter) -> Iterator[Sequence[AuditEvent]]:
        """Yield all events that match the filters, newest first, in a transaction for each page."""
        page_token: str | None = None
        while True:
            page = self.list_events(caller, filters.model_copy(update={"page_size": 200, "page_token": page_token}))
            yield page.items
            page_token = page.next_page_token
            if page_token is None:
                return

    def list_event_names(self, caller: Caller) -> Sequence[str]:
        """List the names of the events that the audit trail has."""
        parameters = {"org_id": _require_supervisor(caller)}
        with self._database.caller_transaction(caller) as session:
            return session.scalars(_SELECT_EVENT_NAMES, parameters).all()

    def find_verification(self, caller: Caller) -> AuditVerification | None:
        """Find the result of the last verification of the whole audit trail, if there was one."""
        with self._database.caller_transaction(caller) as session:
            return session.get(AuditVerification, _require_supervisor(caller))

    def find_verification_request(self, caller: Caller) -> AuditVerificationRequest | None:
        """Find the request to verify the audit trail, if it is not answered yet."""
        with self._database.caller_transaction(caller) as session:
            return session.get(AuditVerificationRequest, _require_supervisor(caller))

    def request_verification(self, caller: Caller) -> None:
        """Request a verification of the audit trail before it is due, unless one is requested or it has no event."""
        parameters = {"org_id": _require_supervisor(caller)}
        with self._database.caller_transaction(caller) as session:
            session.execute(_REQUEST_VERIFICATION, parameters)


def _require_supervisor(caller: Caller) -> str:
    org_id = caller.org_id
    if org_id is None or not caller.can_read_audit_trail_of(org_id):
        raise PermissionDeniedError("Only an administrator or an auditor may read the organisation's audit trail.")
    return org_id


def _select_events(org_id: str, filters: AuditTrailFilter) -> SelectOfScalar[AuditEvent]:
    query = select(AuditEvent).where(AuditEvent.org_id == org_id)
    if filters.subject_id is not None:
        query = query.where(AuditEvent.subject_id == filters.subject_id)
    if filters.subject_id_prefix is not None:
        query = query.where(col(AuditEvent.subject_id).between(*bound_id_prefix(filters.subject_id_prefix)))
    if filters.actor is not None:
        query = query.where(AuditEvent.actor == filters.actor)
    if filters.actor_prefix is not None:
        is_id = ":" not in filters.actor_prefix
        actor = func.split_part(AuditEvent.actor, ":", 2) if is_id else col(AuditEvent.actor)
        query = query.where(actor.startswith(filters.actor_prefix, autoescape=True))
    if filters.event is not None:
        query = query.where(AuditEvent.event == filters.event)
    if filters.at_or_after is not None:
        query = query.where(col(AuditEvent.at) >= filters.at_or_after)
    if filters.at_or_before is not None:
        query = query.where(col(AuditEvent.at) <= filters.at_or_before)
    return query
