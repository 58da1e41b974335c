"""Locks, counts, transitions and audit events of batches."""

from typing import Any

from sqlalchemy import update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.bulk.items import OutcomeCounts
from stafett.database.tables import BulkBatch
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import StaleAttemptError

_COUNT_COLUMNS = ("registered", "failed", "cancelled")


def counts_from_row(row: BulkBatch) -> BulkCounts:
    counts = {name: getattr(row, name) for name in _COUNT_COLUMNS}
    return BulkCounts(total=row.total, pending=row.total - sum(counts.values()), **counts)


def lock_active_batch(session: Session, job: BulkJob, *, allow_cancelling: bool = False) -> BulkBatch:
    """Lock the batch until the transaction ends; raise if this attempt is no longer active."""
    query = select(BulkBatch).where(BulkBatch.id == job.batch_id).with_for_update()
    return _require_active(session.exec(query).one(), job, allow_cancelling=allow_cancelling)


def load_active_batch(session: Session, job: BulkJob) -> BulkBatch:
    """Like `lock_active_batch` without the lock; `add_counts` re-checks the attempt before commit."""
    return _require_active(session.get_one(BulkBatch, job.batch_id), job, allow_cancelling=False)


def add_counts(session: Session, job: BulkJob, outcomes: OutcomeCounts) -> BulkCounts:
    """Add the items' outcomes, as the last thing in the transaction that wrote them."""
    increments = {name: getattr(BulkBatch, name) + number for name, number in outcomes._asdict().items() if number}
    statement = update(BulkBatch).where(
        col(BulkBatch.id) == job.batch_id,
        col(BulkBatch.attempt) == job.attempt,
        col(BulkBatch.status).in_((BulkStatus.RUNNING, BulkStatus.CANCELLING)),
    )
    if not increments:
        return counts_from_row(session.get_one(BulkBatch, job.batch_id, populate_existing=True))
    batch = session.scalars(
        statement.values(increments).returning(BulkBatch), execution_options=_REFRESH_OPTIONS
    ).one_or_none()
    if batch is None:
        raise StaleAttemptError("This attempt at the batch is over.")
    return counts_from_row(batch)


_REFRESH_OPTIONS = {"populate_existing": True}


def transition_batch(
    session: Session, batch: BulkBatch, status: BulkStatus, event: str, actor: str, **values: Any
) -> None:
    """Write the transition and its audit event with counts only, as the last thing in the transaction."""
    statement = update(BulkBatch).where(col(BulkBatch.id) == batch.id).values(status=status, **values)
    session.execute(statement.execution_options(synchronize_session=False))
    is_transition = batch.status is not status
    session.refresh(batch)
    append_batch_event(session, batch, event, actor, is_transition=is_transition)


def append_batch_event(
    session: Session, batch: BulkBatch, event: str, actor: str, *, is_transition: bool = True
) -> None:
    """Append an audit event with the batch's counts; only a transition names the status."""
    detail: EventDetail = {"attempt": batch.attempt, **counts_from_row(batch).model_dump()}
    entry = AuditEntry(
        org_id=batch.org_id,
        actor=actor,
        event=event,
        subject_kind="bulk_registration",
        subject_id=batch.id,
        status=batch.status if is_transition else None,
        detail=detail,
    )
    audit_trail.append_audit_event(session, entry)


def _require_active(batch: BulkBatch, job: BulkJob, *, allow_cancelling: bool) -> BulkBatch:
    is_over = batch.status.is_final or (batch.status is BulkStatus.CANCELLING and not allow_cancelling)
    if batch.attempt != job.attempt or is_over:
        raise StaleAttemptError("This attempt at the batch is over.")
    return batch
