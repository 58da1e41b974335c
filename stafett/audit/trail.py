"""Audit events: what happened to a job, by whom and when, as ids and codes only."""

from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import Field, StrictBool, StrictInt
from sqlalchemy import Function, bindparam, func
from sqlalchemy import select as select_call
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Session

from stafett.domain.frozen import FrozenModel
from stafett.domain.notification import JobType

_MAX_SAFE_INTEGER = 2**53 - 1
EventInteger = Annotated[StrictInt, Field(ge=-_MAX_SAFE_INTEGER, le=_MAX_SAFE_INTEGER)]
"""An integer that JSON parsers of every language read exactly. ``append_audit_event`` rejects all other numbers."""

SubjectKind = (
    JobType
    | Literal[
        "column_mapping",
        "export_preview",
        "report",
        "webhook",
        "person",
        "organisation",
        "member",
        "peer_mentor",
        "activity",
        "api_key",
    ]
)
EventDetail = dict[str, str | EventInteger | StrictBool | None]

WORKER_ACTOR = "system:worker"
SWEEPER_ACTOR = "system:sweeper"
API_ACTOR = "system:gateway"
RETENTION_ACTOR = "system:retention"
ERASURE_ACTOR = "system:erasure"
OWNER_ACTOR = "system:owner"
"""A command on the database owner's connection, such as ``stafett organisation add``."""

SYSTEM_ACTORS = (WORKER_ACTOR, SWEEPER_ACTOR, API_ACTOR, RETENTION_ACTOR, ERASURE_ACTOR, OWNER_ACTOR)


class AuditEntry(FrozenModel):
    """An event to append to the audit trail."""

    id: UUID = Field(default_factory=uuid4)
    org_id: str
    actor: str
    event: str
    subject_kind: SubjectKind = JobType.EXPORT
    subject_id: UUID
    status: str | None = None
    detail: EventDetail = Field(default_factory=dict)


def append_audit_event(session: Session, entry: AuditEntry) -> None:
    """Append an event. Call this last in a transaction, because it locks the organisation's chain until the end."""
    session.flush()
    session.execute(select_call(call_append_audit_event(entry)))


def call_append_audit_event(entry: AuditEntry) -> Function[Any]:
    """Build the call that appends an event, for the ``RETURNING`` clause of the statement that the event is about."""
    values = [getattr(entry, name) for name in AuditEntry.model_fields if name != "detail"]
    detail = bindparam("detail", dict(entry.detail), type_=JSONB)
    return func.append_audit_event(*values, detail)
