"""A batch's row and its trail: each change in the transaction that holds the row, with its audit event."""

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
    settled = {name: getattr(row, name) for name in _COUNT_COLUMNS}
    return BulkCounts(total=row.total, pending=row.total - sum(settled.values()), **settled)


def lock_active_batch(session: Session, job: BulkJob, *, allow_cancelling: bool = False) -> BulkBatch:
    """The batch, locked until the transaction ends, if this attempt still has the right to write to it."""
    query = select(BulkBatch).where(BulkBatch.id == job.batch_id).with_for_update()
    return _require_active(session.exec(query).one(), job, allow_cancelling=allow_cancelling)


def load_active_batch(session: Session, job: BulkJob) -> BulkBatch:
    """The same without holding it: whoever goes on from here counts at the end, and is refused there if need be."""
    return _require_active(session.get_one(BulkBatch, job.batch_id), job, allow_cancelling=False)


def add_counts(session: Session, job: BulkJob, outcomes: OutcomeCounts) -> BulkCounts:
    """Add what items have come to, in the transaction that brought them there, and as the last thing it does."""
    more = {name: getattr(BulkBatch, name) + number for name, number in outcomes._asdict().items() if number}
    row = update(BulkBatch).where(
        col(BulkBatch.id) == job.batch_id,
        col(BulkBatch.attempt) == job.attempt,
        col(BulkBatch.status).in_((BulkStatus.RUNNING, BulkStatus.CANCELLING)),
    )
    if not more:
        return counts_from_row(session.get_one(BulkBatch, job.batch_id, populate_existing=True))
    batch = session.scalars(row.values(more).returning(BulkBatch), execution_options=_REFRESH_OPTIONS).one_or_none()
    if batch is None:
        raise StaleAttemptError("This attempt at the batch is over.")
    return counts_from_row(batch)


_REFRESH_OPTIONS = {"populate_existing": True}


def transition_batch(
    session: Session, batch: BulkBatch, status: BulkStatus, event: str, actor: str, **values: Any
) -> None:
    """The transition and its event, which tells counts and nobody: the last thing in a transaction."""
    row = update(BulkBatch).where(col(BulkBatch.id) == batch.id).values(status=status, **values)
    session.execute(row.execution_options(synchronize_session=False))
    is_step = batch.status is not status
    session.refresh(batch)
    append_batch_event(session, batch, event, actor, is_transition=is_step)


def append_batch_event(
    session: Session, batch: BulkBatch, event: str, actor: str, *, is_transition: bool = True
) -> None:
    """An event of the trail, as the batch stands; only a step into a state names the state."""
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
