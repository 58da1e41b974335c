"""Locks, transitions and audit events of jobs; a transition and its audit event are one transaction."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import update
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
    """Write the transition and its audit event, as the last statements of the transaction that locks the row."""
    update_job(session, row, status=status, **values)
    append_job_event(session, row, event, status=status)


def update_job(session: Session, row: JobRow, **values: Any) -> None:
    """Update the columns in PostgreSQL and in the row, without loading columns that the role may not read."""
    table = type(row)
    statement = update(table).where(col(table.id) == row.id).values(values)
    columns = [getattr(table, name) for name in values]
    updated = session.execute(statement.returning(*columns), execution_options={"synchronize_session": False}).one()
    for name, value in zip(values, updated, strict=True):
        set_committed_value(row, name, value)


def append_job_event(
    session: Session, row: AnyJobRow, event: JobEvent, *, status: str | None = None, event_id: UUID | None = None
) -> None:
    """Append an audit event about the job; only a transition names the status."""
    entry = AuditEntry(
        id=event_id or uuid4(),
        org_id=row.org_id,
        actor=event.actor,
        event=event.name,
        subject_kind=_SUBJECT_KINDS[type(row)],
        subject_id=row.id,
        status=status,
        detail={**_build_detail(row), **(event.detail or {})},
    )
    audit_trail.append_audit_event(session, entry)


def _build_detail(row: AnyJobRow) -> EventDetail:
    match row:
        case Export():
            return {"attempt": row.attempt}
        case Reexport():
            return {"attempt": row.attempt, "report_id": str(row.report_id)}
        case BulkBatch():
            return {"attempt": row.attempt, **row.counts.model_dump()}
