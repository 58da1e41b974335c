"""Commands on an existing batch: edit, cancel, retry and delete."""

from collections.abc import Container
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator
from sqlalchemy import delete, func
from sqlmodel import col

from stafett.bulk import items as bulk_items
from stafett.bulk.corrections import lock_for_retry
from stafett.database.idempotency import IdempotencyScope, claim_once
from stafett.database.session import Database
from stafett.database.tables import BulkBatch, BulkItem
from stafett.database.tables.base import get_request_id
from stafett.domain.bulk import Label
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import InvalidStateError, PermissionDeniedError, require_revision
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.jobs.commands import lock_for_command, lock_for_deletion, request_cancel
from stafett.jobs.state import JobEvent, append_job_event, transition_job, update_job

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


class BulkCommands:
    """Commands on batches. Each is one transaction with its audit event; Temporal is notified after the commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def edit(
        self, caller: Caller, batch_id: UUID, edit: BulkEdit, expected_revisions: Container[int] | None
    ) -> BulkBatch:
        """Edit the label or request cancellation, if the client's expected revision is current."""
        with lock_for_command(self._database, caller, BulkBatch, batch_id) as (session, batch):
            if "label" in edit.model_fields_set and not caller.can_edit(batch.org_id, batch.requested_by):
                raise PermissionDeniedError("You may cancel and retry this batch, but not rename it.")
            require_revision(expected_revisions, batch.edits, "batch")
            values: dict[str, Any] = {"edits": col(BulkBatch.edits) + 1}
            if "label" in edit.model_fields_set:
                values["label"] = edit.label
            if edit.status is not None and batch.status is not BulkStatus.CANCELLING:
                return request_cancel(session, caller, batch, **values)
            update_job(session, batch, **values)
            append_job_event(session, batch, JobEvent("bulk_edited", caller.actor))
            return batch

    def cancel(self, caller: Caller, batch_id: UUID) -> BulkBatch:
        """Request cancellation. Idempotent while cancelling."""
        with lock_for_command(self._database, caller, BulkBatch, batch_id) as (session, batch):
            return request_cancel(session, caller, batch)

    def retry(self, caller: Caller, batch_id: UUID, idempotency_key: str | None = None) -> tuple[BulkBatch, bool]:
        """Start a new attempt at the failed and cancelled items; return whether this call started it."""
        with lock_for_command(self._database, caller, BulkBatch, batch_id) as (session, batch):
            if not claim_once(session, IdempotencyScope(batch.org_id, _RETRY_OPERATION, idempotency_key), batch.id):
                return batch, False
            if batch.status not in _RETRYABLE or not batch.failed + batch.cancelled:
                raise InvalidStateError(f"There is nothing to retry in this batch; it is {batch.status}.")
            lock_for_retry(session, batch)
            # No other transaction locks the items: every attempt that could has ended.
            bulk_items.reset_for_retry(session, batch_id)
            values = {"attempt": batch.attempt + 1, "request_id": get_request_id(), "failed": 0, "cancelled": 0}
            values |= {"error": None, "completed_at": None, "retried": batch.failed + batch.cancelled}
            event = JobEvent("retry_requested", caller.actor)
            transition_job(session, batch, BulkStatus.ACCEPTED, event, **values)
            return batch, True

    def delete(self, caller: Caller, batch_id: UUID) -> None:
        """Delete an ended batch with its items and free texts; the activities that it registered stay."""
        with lock_for_deletion(self._database, caller, BulkBatch, batch_id) as (session, batch):
            session.execute(delete(BulkItem).where(col(BulkItem.batch_id) == batch_id))
            activity = {name: value for name, value in batch.activity.items() if name not in {"note", "place"}}
            update_job(session, batch, deleted_at=func.clock_timestamp(), label=None, activity=activity)
            append_job_event(session, batch, JobEvent("bulk_deleted", caller.actor))
