"""Commands on jobs: a caller's command locks the row, and is one transaction with its audit event."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlmodel import Session

from stafett.database.session import Database
from stafett.database.tables import BulkBatch, Export, Reexport
from stafett.domain.errors import InvalidStateError, NotFoundError, PermissionDeniedError
from stafett.domain.membership import Caller
from stafett.jobs.state import JobEvent, JobRow, transition_job

_NOUNS = {Export: "export", Reexport: "re-export", BulkBatch: "batch"}


def get_job_or_404(session: Session, table: type[JobRow], job_id: UUID, *, for_update: bool = False) -> JobRow:
    row = session.get(table, job_id, with_for_update=for_update)
    if row is None or getattr(row, "deleted_at", None) is not None:  # a re-export cannot be deleted
        raise NotFoundError(f"There is no such {_NOUNS[table]}.")
    return row


@contextmanager
def lock_for_command(
    database: Database, caller: Caller, table: type[JobRow], job_id: UUID
) -> Iterator[tuple[Session, JobRow]]:
    """Lock a job that the caller may cancel and retry."""
    with _lock_job(database, caller, table, job_id) as (session, row):
        if not caller.can_cancel_and_retry(row.org_id, row.requested_by):
            raise PermissionDeniedError(f"You may not change this {_NOUNS[table]}.")
        yield session, row


@contextmanager
def lock_for_deletion(
    database: Database, caller: Caller, table: type[JobRow], job_id: UUID
) -> Iterator[tuple[Session, JobRow]]:
    """Lock an ended job that the caller may delete."""
    with _lock_job(database, caller, table, job_id) as (session, row):
        require_administrator(caller, row.org_id)
        if not row.status.is_final:
            raise InvalidStateError(f"The {_NOUNS[table]} is {row.status}; cancel it first.")
        yield session, row


def require_administrator(caller: Caller, org_id: str) -> None:
    """Raise ``PermissionDeniedError`` for a caller who may not delete a job of the organisation."""
    if not caller.can_administer(org_id):
        raise PermissionDeniedError("Only an administrator of the organisation may delete a job.")


def request_cancel(session: Session, caller: Caller, row: JobRow, **values: Any) -> JobRow:
    """Set a locked job to ``cancelling``, with other new values. Idempotent while cancelling."""
    if row.status.is_final:
        raise InvalidStateError(f"The {_NOUNS[type(row)]} has ended ({row.status}); there is nothing to cancel.")
    if row.status != "cancelling":
        transition_job(session, row, "cancelling", JobEvent("cancel_requested", caller.actor), **values)
    return row


@contextmanager
def _lock_job(
    database: Database, caller: Caller, table: type[JobRow], job_id: UUID
) -> Iterator[tuple[Session, JobRow]]:
    """Lock the row in a transaction of the job's organisation, which an operator does not belong to."""
    org_id = caller.org_id
    if org_id is None:
        with database.caller_transaction(caller) as session:
            org_id = get_job_or_404(session, table, job_id).org_id
    with database.transaction(org_id, user_id=caller.user_id) as session:
        yield session, get_job_or_404(session, table, job_id, for_update=True)
