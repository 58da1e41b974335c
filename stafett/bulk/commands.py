"""Commands on an existing batch: edit, cancel, retry and delete."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from uuid import UUID, uuid4

from pydantic import ConfigDict, Field, model_validator
from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.bulk import items as bulk_items
from stafett.bulk.service import get_batch_or_404
from stafett.bulk.state import append_batch_event, transition_batch
from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.session import Database
from stafett.database.tables import BulkBatch, BulkItem
from stafett.database.tables.base import get_request_id
from stafett.domain.bulk import Label
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import (
    InvalidStateError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
)
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller

_RETRY_OPERATION = "bulk-registrations.retry"
_RETRYABLE = frozenset({BulkStatus.COMPLETED_WITH_FAILURES, BulkStatus.FAILED, BulkStatus.CANCELLED})


class BulkEdit(FrozenModel):
    """A new label for a batch, or its cancellation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "Training day"}, {"status": "cancelled"}]})

    label: Label | None = Field(None, description="New name of the batch; null removes it. No personal data.")
    status: Literal[BulkStatus.CANCELLED] | None = Field(None, description="`cancelled` cancels the batch.")

    @model_validator(mode="after")
    def _require_a_change(self) -> "BulkEdit":
        if not self.model_fields_set or ("status" in self.model_fields_set and self.status is None):
            raise ValueError('specify a label, or {"status": "cancelled"}')
        return self


class _BatchRetryBody(FrozenModel):
    """The request that the idempotency key of a retry is bound to."""

    batch_id: UUID


class BulkCommands:
    """Commands on batches. Each is one transaction with its audit event; Temporal is notified after the commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def edit(
        self, caller: Caller, batch_id: UUID, edit: BulkEdit, expected_revisions: Container[int] | None
    ) -> BulkBatch:
        """Edit the label or request cancellation, if the client's expected revision is current."""
        with self._lock_and_authorise(caller, batch_id) as (session, batch):
            if "label" in edit.model_fields_set and not caller.can_edit(batch.org_id, batch.requested_by):
                raise PermissionDeniedError("You may cancel and retry this batch, but not rename it.")
            _check_expected_revision(expected_revisions, batch.edits)
            values: dict[str, Any] = {"edits": col(BulkBatch.edits) + 1}
            if "label" in edit.model_fields_set:
                values["label"] = edit.label
            if edit.status is not None and _needs_cancelling(batch):
                transition_batch(
                    session, batch, BulkStatus.CANCELLING, "cancel_requested", _actor_from_caller(caller), **values
                )
                return batch
            session.execute(update(BulkBatch).where(col(BulkBatch.id) == batch_id).values(values))
            session.refresh(batch)
            append_batch_event(session, batch, "bulk_edited", _actor_from_caller(caller), is_transition=False)
            return batch

    def cancel(self, caller: Caller, batch_id: UUID) -> BulkBatch:
        """Request cancellation. Idempotent while cancelling."""
        with self._lock_and_authorise(caller, batch_id) as (session, batch):
            if _needs_cancelling(batch):
                transition_batch(session, batch, BulkStatus.CANCELLING, "cancel_requested", _actor_from_caller(caller))
            return batch

    def retry(self, caller: Caller, batch_id: UUID, idempotency_key: str | None = None) -> tuple[BulkBatch, bool]:
        """Start a new attempt at the failed and cancelled items; the flag is False if the key was already used."""
        with self._lock_and_authorise(caller, batch_id) as (session, batch):
            if idempotency_key and _is_repeat(session, batch, idempotency_key):
                return batch, False
            if batch.status not in _RETRYABLE or not batch.failed + batch.cancelled:
                raise InvalidStateError(f"There is nothing to retry in this batch; it is {batch.status}.")
            # No other transaction locks the items: every attempt that could has ended.
            bulk_items.reset_for_retry(session, batch_id)
            values = {"attempt": batch.attempt + 1, "request_id": get_request_id(), "failed": 0, "cancelled": 0}
            values |= {"error": None, "completed_at": None}
            transition_batch(
                session, batch, BulkStatus.ACCEPTED, "retry_requested", _actor_from_caller(caller), **values
            )
            return batch, True

    def delete(self, caller: Caller, batch_id: UUID) -> None:
        """Delete an ended batch with its items and free texts; the activities that it registered stay."""
        with self._lock_batch(caller, batch_id) as (session, batch):
            if not caller.can_administer(batch.org_id):
                raise PermissionDeniedError("Only an administrator of the organisation may delete a batch.")
            if not batch.status.is_final:
                raise InvalidStateError(f"The batch is {batch.status}; cancel it first.")
            session.execute(delete(BulkItem).where(col(BulkItem.batch_id) == batch_id))
            activity = {name: value for name, value in batch.activity.items() if name not in {"note", "place"}}
            values = {"deleted_at": func.clock_timestamp(), "label": None, "activity": activity}
            transition_batch(session, batch, batch.status, "bulk_deleted", _actor_from_caller(caller), **values)

    @contextmanager
    def _lock_and_authorise(self, caller: Caller, batch_id: UUID) -> Iterator[tuple[Session, BulkBatch]]:
        with self._lock_batch(caller, batch_id) as (session, batch):
            if not caller.can_cancel_and_retry(batch.org_id, batch.requested_by):
                raise PermissionDeniedError("You may not edit, cancel or retry this batch.")
            yield session, batch

    @contextmanager
    def _lock_batch(self, caller: Caller, batch_id: UUID) -> Iterator[tuple[Session, BulkBatch]]:
        """Lock the row in a transaction that is bound to its organisation, because an operator belongs to none."""
        with self._database.transaction(
            caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator
        ) as session:
            org_id = get_batch_or_404(session, batch_id).org_id
        query = select(BulkBatch).where(BulkBatch.id == batch_id).with_for_update()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            session.exec(query).one()
            yield session, get_batch_or_404(session, batch_id)  # may have been deleted during the wait for the lock


def _actor_from_caller(caller: Caller) -> str:
    return audit_trail.actor_from_user_id(caller.user_id)


def _needs_cancelling(batch: BulkBatch) -> bool:
    if batch.status.is_final:
        raise InvalidStateError(f"The batch has ended ({batch.status}); there is nothing to cancel.")
    return batch.status is not BulkStatus.CANCELLING


def _check_expected_revision(expected_revisions: Container[int] | None, revision: int) -> None:
    if expected_revisions is None:
        raise PreconditionRequiredError("Send the batch's ETag in an If-Match header.")
    if revision not in expected_revisions:
        raise PreconditionFailedError("The batch was edited meanwhile; fetch it again.")


def _is_repeat(session: Session, batch: BulkBatch, idempotency_key: str) -> bool:
    """Check whether the key was already used for a retry of this batch."""
    claim_id = uuid4()
    return (
        claim_idempotency_key(
            session,
            IdempotencyScope(batch.org_id, _RETRY_OPERATION, idempotency_key),
            _BatchRetryBody(batch_id=batch.id),
            claim_id,
        )
        != claim_id
    )
