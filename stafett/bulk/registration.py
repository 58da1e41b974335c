"""The worker's side of a batch: its chunks brought to their outcomes, and the batch to its end."""

from typing import Any

from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import func
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session

from stafett.audit import trail as audit_trail
from stafett.bulk import items as bulk_items
from stafett.bulk.items import Scope, Settled
from stafett.bulk.state import count, counts_of, held, move, seen
from stafett.database.session import Database
from stafett.database.tables import BulkBatch
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, Chunk
from stafett.domain.bulk_status import BulkStatus, ItemErrorCode
from stafett.domain.errors import StaleAttemptError
from stafett.domain.notification import JobOutcome, JobType
from stafett.notifications.outbox import End, announce

_NOW = func.clock_timestamp()
_OF_THE_VALUES = ("22", "23")
"""The classes of SQLSTATE that say that a value is wrong: no other try would find it right."""


class ProxyRegistration:
    """Each step may be done twice, even at once: what has its outcome keeps it."""

    def __init__(self, database: Database, *, actor: str = audit_trail.WORKER_ACTOR, by_mail: bool = False) -> None:
        self._database = database
        self._actor = actor
        self._by_mail = by_mail

    def begin(self, job: BulkJob) -> BulkPlan:
        """Enter the attempt, and see what there is to do."""
        with self._database.transaction(job.org_id) as session:
            batch = held(session, job)
            chunks = bulk_items.chunks_with_something_pending(session, job)
            if batch.status is BulkStatus.ACCEPTED:
                move(session, batch, BulkStatus.RUNNING, "bulk_started", self._actor)
            return BulkPlan(pending_chunks=chunks, counts=counts_of(batch))

    def register(self, chunk: Chunk) -> BulkCounts:
        """Every pending item of the chunk to its outcome, and with the last of all the batch to its end."""
        job = chunk.job
        with self._database.transaction(job.org_id) as session:
            batch = seen(session, job)
            counts = count(session, job, registered(session, Scope(job, chunk.number)))
            if counts.pending == 0 and batch.status is BulkStatus.RUNNING:
                self._ended(session, batch, _end_by_counts(counts))
            return counts

    def give_up(self, chunk: Chunk) -> BulkCounts:
        """What could not be reached for good: its items can be tried again."""
        with self._database.transaction(chunk.job.org_id) as session:
            code = ItemErrorCode.TEMPORARILY_UNAVAILABLE
            given_up = bulk_items.give_up(session, Scope(chunk.job, chunk.number), code)
            return count(session, chunk.job, given_up)

    def finish(self, job: BulkJob) -> BulkOutcome:
        """All items have their outcomes; with which of them it ended already, and if none was left with this."""
        with self._database.transaction(job.org_id) as session:
            try:
                batch = held(session, job)
            except StaleAttemptError:
                return _its_own_end(session, job)
            return self._ended(session, batch, _end_by_counts(counts_of(batch)))

    def cancel(self, job: BulkJob) -> BulkOutcome:
        """What is not begun is not begun any more, and the batch has stopped."""
        with self._database.transaction(job.org_id) as session:
            left = bulk_items.cancel(session, Scope(job))
            try:
                batch = held(session, job, cancelling_too=True)
            except StaleAttemptError:
                session.rollback()
                return self.end_of(job)
            if batch.status is not BulkStatus.CANCELLING:
                move(session, batch, BulkStatus.CANCELLING, "cancel_requested", self._actor)
            return self._ended(session, batch, BulkStatus.CANCELLED, cancelled=batch.cancelled + left.cancelled)

    def close(self, job: BulkJob, how: str) -> bool:
        """The run was ended from outside: what it left has failed, and can be tried again; false if it had ended."""
        with self._database.transaction(job.org_id) as session:
            left = bulk_items.give_up(session, Scope(job), ItemErrorCode.TEMPORARILY_UNAVAILABLE)
            try:
                batch = held(session, job, cancelling_too=True)
            except StaleAttemptError:
                session.rollback()
                return False
            status, values = BulkStatus.FAILED, dict[str, Any](failed=batch.failed + left.failed)
            if left.failed or batch.status is not BulkStatus.RUNNING:
                message = f"The batch was ended from outside ({how}) before it was done; it can be tried again."
                values["error"] = {"code": "internal", "message": message, "retryable": True}
            else:
                status = _end_by_counts(counts_of(batch))
            self._ended(session, batch, status, **values)
            return True

    def end_of(self, job: BulkJob) -> BulkOutcome:
        """How it stands, for a run that finds itself too late."""
        with self._database.transaction(job.org_id) as session:
            batch = session.get_one(BulkBatch, job.batch_id)
            return BulkOutcome(status=batch.status, counts=counts_of(batch))

    def _ended(self, session: Session, batch: BulkBatch, status: BulkStatus, **values: Any) -> BulkOutcome:
        end = End(JobType.BULK_REGISTRATION, batch.job, JobOutcome(status), asked_by=batch.requested_by)
        announce(session, end, by_mail=self._by_mail)
        move(session, batch, status, f"bulk_{status}", self._actor, completed_at=_NOW, **values)
        return BulkOutcome(status=batch.status, counts=counts_of(batch))


def registered(session: Session, scope: Scope) -> Settled:
    """Set-based; if that is refused for a reason nobody foresaw, item by item, and the bad item alone fails."""
    try:
        with session.begin_nested():
            return bulk_items.register(session, scope)
    except DBAPIError as error:
        if _is_transient(error):
            raise
        if scope.only is not None:
            return bulk_items.give_up(session, scope, _code_of(error))
    settled = Settled()
    for position in bulk_items.pending_in(session, scope):
        settled = settled.plus(registered(session, scope._replace(only=position)))
    return settled


def _code_of(error: DBAPIError) -> ItemErrorCode:
    is_of_the_values = str(getattr(error.orig, "sqlstate", "")).startswith(_OF_THE_VALUES)
    return ItemErrorCode.INVALID_ACTIVITY if is_of_the_values else ItemErrorCode.TEMPORARILY_UNAVAILABLE


def _is_transient(error: DBAPIError) -> bool:
    """A server that is away, a deadlock, a lock that was waited for too long: the whole chunk is tried again."""
    is_away = error.connection_invalidated or isinstance(error.orig, ReadOnlySqlTransaction)
    return is_away or isinstance(error, (OperationalError, InterfaceError))


def _end_by_counts(counts: BulkCounts) -> BulkStatus:
    if counts.registered == counts.total:
        return BulkStatus.COMPLETED
    return BulkStatus.COMPLETED_WITH_FAILURES if counts.registered else BulkStatus.FAILED


def _its_own_end(session: Session, job: BulkJob) -> BulkOutcome:
    """An end that was committed, and whose answer got lost on its way, is the end."""
    batch = session.get_one(BulkBatch, job.batch_id)
    if batch.attempt != job.attempt or not batch.status.is_final:
        raise StaleAttemptError("This attempt at the batch is over.")
    return BulkOutcome(status=batch.status, counts=counts_of(batch))
