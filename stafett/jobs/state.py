"""Locks, transitions and audit events of jobs; a transition and its audit event are one transaction."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Function, update
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.tables import BulkBatch, Export, Reexport
from stafett.domain.errors import StaleAttemptError
from stafett.domain.job import Job
from stafett.domain.notification import JobType

JobRow = TypeVar("JobRow", Export, Reexport, BulkBatch)
AnyJobRow = Export | Reexport | BulkBatch
_SUBJECT_KINDS: Mapping[type[AnyJobRow], JobType] = {
    Export: JobType.EXPORT,
    Reexport: JobType.REEXPORT,
    BulkBatch: JobType.BULK_REGISTRATION,
}
_EVENT_COLUMNS = frozenset({"attempt", "registered", "failed", "cancelled"})
"""Columns whose new values an event of a transition has."""


def lock_job(session: Session, table: type[JobRow], job_id: UUID) -> JobRow:
    """Lock the job's row until the transaction ends, whatever its status."""
    return session.exec(select(table).where(table.id == job_id).with_for_update()).one()


def lock_active_job(session: Session, table: type[JobRow], job: Job, *, allow_cancelling: bool = False) -> JobRow:
    """Lock the job's row until the transaction ends; raise ``StaleAttemptError`` if this attempt may not write."""
    row = lock_job(session, table, job.job_id)
    require_active(row, job, allow_cancelling=allow_cancelling)
    return row


def require_active(row: AnyJobRow, job: Job, *, allow_cancelling: bool = False) -> None:
    has_ended = row.status.is_final or (row.status == "cancelling" and not allow_cancelling)
    if row.attempt != job.attempt or has_ended:
        raise StaleAttemptError("This attempt at the job has ended.")


class JobEvent(NamedTuple):
    """An audit event about a job, with the details that not every event of the job has."""

    name: str
    actor: str
    detail: EventDetail | None = None


def transition_job(session: Session, row: JobRow, status: str, event: JobEvent, **values: Any) -> None:
    """Write the transition and its audit event, as the last statement of the transaction that locks the row."""
    for name in values.keys() & _EVENT_COLUMNS:
        set_committed_value(row, name, values[name])
    entry = _build_entry(row, event, status)
    _update(session, row, {"status": status, **values}, audit_trail.call_append_audit_event(entry))


def update_job(session: Session, row: JobRow, **values: Any) -> None:
    """Update the columns in PostgreSQL and in the row, without loading columns that the role may not read."""
    _update(session, row, values)


def append_job_event(
    session: Session, row: AnyJobRow, event: JobEvent, *, status: str | None = None, event_id: UUID | None = None
) -> None:
    """Append an audit event about the job; only a transition names the status."""
    audit_trail.append_audit_event(session, _build_entry(row, event, status, event_id))


def _update(session: Session, row: JobRow, values: Mapping[str, Any], *calls: Function[Any]) -> None:
    table = type(row)
    statement = update(table).where(col(table.id) == row.id).values(values)
    returned = [getattr(table, name) for name in values]
    statement = statement.returning(*returned, *calls)
    updated = session.execute(statement, execution_options={"synchronize_session": False}).one()
    for name, value in zip(values, updated[: len(values)], strict=True):
        set_committed_value(row, name, value)


def _build_entry(row: AnyJobRow, event: JobEvent, status: str | None, event_id: UUID | None = None) -> AuditEntry:
    return AuditEntry(
        id=event_id or uuid4(),
        org_id=row.org_id,
        actor=event.actor,
        event=event.name,
        subject_kind=_SUBJECT_KINDS[type(row)],
        subject_id=row.id,
        status=status,
        detail={**_build_detail(row), **(event.detail or {})},
    )


def _build_detail(row: AnyJobRow) -> EventDetail:
    match row:
        case Export():
            return {"attempt": row.attempt}
        case Reexport():
            return {"attempt": row.attempt, "report_id": str(row.report_id)}
        case BulkBatch():
            return {"attempt": row.attempt, **row.counts.model_dump()}
