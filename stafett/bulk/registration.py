"""The worker's side of a batch: its chunks brought to their outcomes, and the batch to its end."""

from typing import Any

from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import func
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session

from stafett.audit import trail as audit_trail
from stafett.bulk import items as bulk_items
from stafett.bulk.items import ItemSelection, OutcomeCounts
from stafett.bulk.state import add_counts, counts_from_row, load_active_batch, lock_active_batch, transition_batch
from stafett.database.session import Database
from stafett.database.tables import BulkBatch
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, Chunk
from stafett.domain.bulk_status import BulkStatus, ItemErrorCode
from stafett.domain.errors import StaleAttemptError
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.outbox import JobCompletion, enqueue_notifications

_NOW = func.clock_timestamp()
_INVALID_VALUE_CLASSES = ("22", "23")
"""The classes of SQLSTATE that say that a value is wrong: no other try would find it right."""


class ProxyRegistration:
    """Each step may be done twice, even at once: what has its outcome keeps it."""

    def __init__(self, database: Database, *, actor: str = audit_trail.WORKER_ACTOR, by_email: bool = False) -> None:
        self._database = database
        self._actor = actor
        self._by_email = by_email

    def start_attempt(self, job: BulkJob) -> BulkPlan:
        """Enter the attempt, and see what there is to do."""
        with self._database.transaction(job.org_id) as session:
            batch = lock_active_batch(session, job)
            chunks = bulk_items.list_pending_chunks(session, job)
            if batch.status is BulkStatus.ACCEPTED:
                transition_batch(session, batch, BulkStatus.RUNNING, "bulk_started", self._actor)
            return BulkPlan(pending_chunks=chunks, counts=counts_from_row(batch))

    def register_chunk(self, chunk: Chunk) -> BulkCounts:
        """Every pending item of the chunk to its outcome, and with the last of all the batch to its end."""
        job = chunk.job
        with self._database.transaction(job.org_id) as session:
            batch = load_active_batch(session, job)
            counts = add_counts(session, job, register_with_fallback(session, ItemSelection(job, chunk.number)))
            if counts.pending == 0 and batch.status is BulkStatus.RUNNING:
                self._finish(session, batch, _final_status_for(counts))
            return counts

    def fail_chunk(self, chunk: Chunk) -> BulkCounts:
        """What could not be reached for good: its items can be tried again."""
        with self._database.transaction(chunk.job.org_id) as session:
            code = ItemErrorCode.TEMPORARILY_UNAVAILABLE
            given_up = bulk_items.fail_items(session, ItemSelection(chunk.job, chunk.number), code)
            return add_counts(session, chunk.job, given_up)

    def finish(self, job: BulkJob) -> BulkOutcome:
        """All items have their outcomes; with which of them it ended already, and if none was left with this."""
        with self._database.transaction(job.org_id) as session:
            try:
                batch = lock_active_batch(session, job)
            except StaleAttemptError:
                return _load_outcome(session, job)
            return self._finish(session, batch, _final_status_for(counts_from_row(batch)))

    def finish_cancel(self, job: BulkJob) -> BulkOutcome:
        """What is not begun is not begun any more, and the batch has stopped."""
        with self._database.transaction(job.org_id) as session:
            left = bulk_items.cancel_items(session, ItemSelection(job))
            try:
                batch = lock_active_batch(session, job, allow_cancelling=True)
            except StaleAttemptError:
                session.rollback()
                return self.load_outcome(job)
            if batch.status is not BulkStatus.CANCELLING:
                transition_batch(session, batch, BulkStatus.CANCELLING, "cancel_requested", self._actor)
            return self._finish(session, batch, BulkStatus.CANCELLED, cancelled=batch.cancelled + left.cancelled)

    def close(self, job: BulkJob, run_status: str) -> bool:
        """The run was ended from outside: what it left has failed, and can be tried again; false if it had ended."""
        with self._database.transaction(job.org_id) as session:
            left = bulk_items.fail_items(session, ItemSelection(job), ItemErrorCode.TEMPORARILY_UNAVAILABLE)
            try:
                batch = lock_active_batch(session, job, allow_cancelling=True)
            except StaleAttemptError:
                session.rollback()
                return False
            status, values = BulkStatus.FAILED, dict[str, Any](failed=batch.failed + left.failed)
            if left.failed or batch.status is not BulkStatus.RUNNING:
                message = f"The batch was ended from outside ({run_status}) before it was done; it can be tried again."
                values["error"] = {"code": "internal", "message": message, "retryable": True}
            else:
                status = _final_status_for(counts_from_row(batch))
            self._finish(session, batch, status, **values)
            return True

    def load_outcome(self, job: BulkJob) -> BulkOutcome:
        """How it stands, for a run that finds itself too late."""
        with self._database.transaction(job.org_id) as session:
            batch = session.get_one(BulkBatch, job.batch_id)
            return BulkOutcome(status=batch.status, counts=counts_from_row(batch))

    def _finish(self, session: Session, batch: BulkBatch, status: BulkStatus, **values: Any) -> BulkOutcome:
        end = JobCompletion(JobType.BULK_REGISTRATION, batch.job, JobOutcome(status), requested_by=batch.requested_by)
        enqueue_notifications(session, end, by_email=self._by_email)
        transition_batch(session, batch, status, f"bulk_{status}", self._actor, completed_at=_NOW, **values)
        return BulkOutcome(status=batch.status, counts=counts_from_row(batch))


def register_with_fallback(session: Session, selection: ItemSelection) -> OutcomeCounts:
    """Set-based; if that is refused for a reason nobody foresaw, item by item, and the bad item alone fails."""
    try:
        with session.begin_nested():
            return bulk_items.register_items(session, selection)
    except DBAPIError as error:
        if _is_transient(error):
            raise
        if selection.position is not None:
            return bulk_items.fail_items(session, selection, _error_code_for(error))
    settled = OutcomeCounts()
    for position in bulk_items.list_pending_positions(session, selection):
        settled = settled.plus(register_with_fallback(session, selection._replace(position=position)))
    return settled


def _error_code_for(error: DBAPIError) -> ItemErrorCode:
    is_of_the_values = str(getattr(error.orig, "sqlstate", "")).startswith(_INVALID_VALUE_CLASSES)
    return ItemErrorCode.INVALID_ACTIVITY if is_of_the_values else ItemErrorCode.TEMPORARILY_UNAVAILABLE


def _is_transient(error: DBAPIError) -> bool:
    """A server that is away, a deadlock, a lock that was waited for too long: the whole chunk is tried again."""
    is_away = error.connection_invalidated or isinstance(error.orig, ReadOnlySqlTransaction)
    return is_away or isinstance(error, (OperationalError, InterfaceError))


def _final_status_for(counts: BulkCounts) -> BulkStatus:
    if counts.registered == counts.total:
        return BulkStatus.COMPLETED
    return BulkStatus.COMPLETED_WITH_FAILURES if counts.registered else BulkStatus.FAILED


def _load_outcome(session: Session, job: BulkJob) -> BulkOutcome:
    """An end that was committed, and whose answer got lost on its way, is the end."""
    batch = session.get_one(BulkBatch, job.batch_id)
    if batch.attempt != job.attempt or not batch.status.is_final:
        raise StaleAttemptError("This attempt at the batch is over.")
    return BulkOutcome(status=batch.status, counts=counts_from_row(batch))
