"""The worker's part of a bulk registration: registers the items of its chunks and finishes the batch."""

from collections.abc import Callable
from typing import Any

from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import func, update
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session, col

from stafett.audit import trail as audit_trail
from stafett.bulk import items as bulk_items
from stafett.bulk.items import ItemSelection, OutcomeCounts
from stafett.database.session import Database
from stafett.database.tables import BulkBatch
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, Chunk
from stafett.domain.bulk_status import BulkStatus, ItemErrorCode
from stafett.domain.errors import StaleAttemptError
from stafett.domain.notification import JobOutcome, JobType
from stafett.jobs.state import JobEvent, lock_active_job, require_active, transition_job
from stafett.notifications.outbox import JobCompletion, enqueue_notifications, has_open_deliveries

_NOW = func.clock_timestamp()
_INVALID_VALUE_CLASSES = ("22", "23")
"""SQLSTATE classes of an invalid value, which no retry can fix."""


class BatchProcessor:
    """Idempotent steps of a batch: repeated or concurrent execution never changes an item's outcome."""

    def __init__(
        self,
        database: Database,
        *,
        actor: str = audit_trail.WORKER_ACTOR,
        notify_by_email: bool = False,
        record_outcomes: Callable[[OutcomeCounts], None] = lambda _outcomes: None,
    ) -> None:
        self._database = database
        self._actor = actor
        self._notify_by_email = notify_by_email
        self._record_outcomes = record_outcomes

    def start_attempt(self, job: BulkJob) -> BulkPlan:
        """Set an accepted batch to running, and return its pending chunks."""
        with self._database.transaction(job.org_id) as session:
            batch = lock_active_job(session, BulkBatch, job)
            chunks = bulk_items.list_pending_chunks(session, job)
            if batch.status is BulkStatus.ACCEPTED:
                transition_job(session, batch, BulkStatus.RUNNING, JobEvent("bulk_started", self._actor))
            return BulkPlan(pending_chunks=chunks, counts=batch.counts)

    def register_chunk(self, chunk: Chunk) -> BulkCounts:
        """Register the chunk's pending items, and finish the batch if they were the last ones."""
        job = chunk.job
        with self._database.transaction(job.org_id) as session:
            batch = session.get_one(BulkBatch, job.batch_id)
            require_active(batch, job)  # without its lock: `add_counts` checks the attempt again before the commit
            selection = ItemSelection(job, chunk.number)
            bulk_items.lock_mentors(session, selection)
            outcomes = register_with_fallback(session, selection)
            counts = add_counts(session, job, outcomes)
            if counts.pending == 0 and batch.status is BulkStatus.RUNNING:
                self._finish(session, batch, _final_status_for(counts))
        self._record_outcomes(outcomes)
        return counts

    def fail_chunk(self, chunk: Chunk) -> BulkCounts:
        """Fail the pending items of a chunk whose registration was given up; they can be retried."""
        with self._database.transaction(chunk.job.org_id) as session:
            code = ItemErrorCode.TEMPORARILY_UNAVAILABLE
            outcomes = bulk_items.fail_items(session, ItemSelection(chunk.job, chunk.number), code)
            counts = add_counts(session, chunk.job, outcomes)
        self._record_outcomes(outcomes)
        return counts

    def finish(self, job: BulkJob) -> BulkOutcome:
        """Finish a batch whose items all have outcomes, or return the outcome that is already committed."""
        with self._database.transaction(job.org_id) as session:
            try:
                batch = lock_active_job(session, BulkBatch, job)
            except StaleAttemptError:
                return _load_outcome_of_attempt(session, job)
            return self._finish(session, batch, _final_status_for(batch.counts))

    def finish_cancel(self, job: BulkJob) -> BulkOutcome:
        """Cancel the pending items, then the batch."""
        with self._database.transaction(job.org_id) as session:
            outcomes = bulk_items.cancel_items(session, ItemSelection(job))
            try:
                batch = lock_active_job(session, BulkBatch, job, allow_cancelling=True)
            except StaleAttemptError:
                session.rollback()
                return self.load_outcome(job)
            if batch.status is not BulkStatus.CANCELLING:
                transition_job(session, batch, BulkStatus.CANCELLING, JobEvent("cancel_requested", self._actor))
            finished = self._finish(
                session, batch, BulkStatus.CANCELLED, cancelled=batch.cancelled + outcomes.cancelled
            )
        self._record_outcomes(outcomes)
        return finished

    def close(self, job: BulkJob, reason: str) -> JobOutcome | None:
        """End a batch that its run will not finish: fail its pending items, or complete it if none are pending.

        Return None if the batch has ended already.
        """
        with self._database.transaction(job.org_id) as session:
            outcomes = bulk_items.fail_items(session, ItemSelection(job), ItemErrorCode.TEMPORARILY_UNAVAILABLE)
            try:
                batch = lock_active_job(session, BulkBatch, job, allow_cancelling=True)
            except StaleAttemptError:
                session.rollback()
                return None
            status, values = BulkStatus.FAILED, dict[str, Any](failed=batch.failed + outcomes.failed)
            if outcomes.failed or batch.status is not BulkStatus.RUNNING:
                message = f"{reason}; retry the batch."
                values["error"] = {"code": "internal", "message": message, "retryable": True}
            else:
                status = _final_status_for(batch.counts)
            return JobOutcome(self._finish(session, batch, status, **values).status)

    def load_outcome(self, job: BulkJob) -> BulkOutcome:
        """Return the stored outcome, for a run whose job another writer has ended."""
        with self._database.transaction(job.org_id) as session:
            batch = session.get_one(BulkBatch, job.batch_id)
            return _build_outcome(session, batch)

    def _finish(self, session: Session, batch: BulkBatch, status: BulkStatus, **values: Any) -> BulkOutcome:
        completion = JobCompletion(
            JobType.BULK_REGISTRATION, batch.job, JobOutcome(status), requested_by=batch.requested_by
        )
        enqueue_notifications(session, completion, notify_by_email=self._notify_by_email)
        transition_job(session, batch, status, JobEvent(f"bulk_{status}", self._actor), completed_at=_NOW, **values)
        return _build_outcome(session, batch)


def add_counts(session: Session, job: BulkJob, outcomes: OutcomeCounts) -> BulkCounts:
    """Add the items' outcomes, as the last thing in the transaction that wrote them."""
    increments = {name: getattr(BulkBatch, name) + number for name, number in outcomes._asdict().items() if number}
    if not increments:
        return session.get_one(BulkBatch, job.batch_id, populate_existing=True).counts
    is_active = (
        col(BulkBatch.id) == job.batch_id,
        col(BulkBatch.attempt) == job.attempt,
        col(BulkBatch.status).in_((BulkStatus.RUNNING, BulkStatus.CANCELLING)),
    )
    statement = update(BulkBatch).where(*is_active).values(increments).returning(BulkBatch)
    batch = session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    if batch is None:
        raise StaleAttemptError("This attempt at the batch is over.")
    return batch.counts


def register_with_fallback(session: Session, selection: ItemSelection) -> OutcomeCounts:
    """Register in one statement; after an unforeseen error item by item, so that only the bad item fails."""
    try:
        with session.begin_nested():
            return bulk_items.register_items(session, selection)
    except DBAPIError as error:
        if _is_transient(error):
            raise
        if selection.position is not None:
            return bulk_items.fail_items(session, selection, _error_code_for(error))
    outcomes = OutcomeCounts()
    for position in bulk_items.list_pending_positions(session, selection):
        outcomes = outcomes.plus(register_with_fallback(session, selection._replace(position=position)))
    return outcomes


def _error_code_for(error: DBAPIError) -> ItemErrorCode:
    is_invalid_value = str(getattr(error.orig, "sqlstate", "")).startswith(_INVALID_VALUE_CLASSES)
    return ItemErrorCode.INVALID_ACTIVITY if is_invalid_value else ItemErrorCode.TEMPORARILY_UNAVAILABLE


def _is_transient(error: DBAPIError) -> bool:
    """Check for an unavailable server, a deadlock or a lock timeout, after which the whole chunk is retried."""
    is_server_unavailable = error.connection_invalidated or isinstance(error.orig, ReadOnlySqlTransaction)
    return is_server_unavailable or isinstance(error, (OperationalError, InterfaceError))


def _final_status_for(counts: BulkCounts) -> BulkStatus:
    if counts.registered == counts.total:
        return BulkStatus.COMPLETED
    return BulkStatus.COMPLETED_WITH_FAILURES if counts.registered else BulkStatus.FAILED


def _load_outcome_of_attempt(session: Session, job: BulkJob) -> BulkOutcome:
    """Return the committed outcome: a commit whose response was lost counts as success."""
    batch = session.get_one(BulkBatch, job.batch_id)
    if batch.attempt != job.attempt or not batch.status.is_final:
        raise StaleAttemptError("This attempt at the batch is over.")
    return _build_outcome(session, batch)


def _build_outcome(session: Session, batch: BulkBatch) -> BulkOutcome:
    return BulkOutcome(
        status=batch.status,
        counts=batch.counts,
        has_deliveries=has_open_deliveries(session, batch.job),
    )
