"""Batches that correct the failed items of an earlier one."""

from uuid import UUID

from sqlmodel import Session, col, select

from stafett.database.tables import BulkBatch
from stafett.domain.bulk import BulkRequest
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import AlreadyCorrectedError, InvalidRequestError, InvalidStateError, RequestIssue

_WITHOUT_EFFECT = (BulkStatus.FAILED, BulkStatus.CANCELLED)
"""Statuses of a correction that leave the batch to another one, as the unique index has them too."""


def find_corrected_batch(session: Session, request: BulkRequest) -> BulkBatch | None:
    """Return the batch that the request corrects; raise if it cannot be corrected."""
    return _find(session, request, for_update=False)


def lock_corrected_batch(session: Session, request: BulkRequest) -> BulkBatch | None:
    """Lock the batch that the request corrects until the transaction ends; raise if it cannot be corrected."""
    return _find(session, request, for_update=True)


def lock_for_retry(session: Session, batch: BulkBatch) -> None:
    """Raise if what a locked batch would register again is left to a correction of it.

    If the batch is itself a correction, lock the batch that it corrects, and raise if another correction or a retry
    has taken its place.
    """
    _require_no_correction(session, batch.org_id, batch.id)
    if batch.corrects is None:
        return
    corrected = session.get_one(BulkBatch, batch.corrects, with_for_update=True)
    _require_no_correction(session, batch.org_id, corrected.id, except_id=batch.id)
    if corrected.completed_at is None or corrected.completed_at > batch.created_at:
        raise InvalidStateError(
            f"Batch {corrected.id}, which this batch corrects, has been retried since. Correct what failed in it."
        )


def _find(session: Session, request: BulkRequest, *, for_update: bool) -> BulkBatch | None:
    if request.corrects is None:
        return None
    batch = session.get(BulkBatch, request.corrects, with_for_update=for_update)
    if batch is None or batch.org_id != request.org_id or batch.deleted_at is not None:
        raise _build_error(request, "unknown_batch", "The organisation has no such batch.")
    if not batch.status.is_final:
        raise _build_error(request, "not_finished", f"The batch is {batch.status}; correct it after it has ended.")
    _require_no_correction(session, batch.org_id, batch.id)
    if not batch.failed:
        raise _build_error(request, "no_failed_items", "The batch has no failed items to correct.")
    return batch


def _require_no_correction(session: Session, org_id: str, batch_id: UUID, except_id: UUID | None = None) -> None:
    """Raise if another batch corrects this one, and may still register something or has done so."""
    query = select(BulkBatch.id).where(
        BulkBatch.org_id == org_id,
        BulkBatch.corrects == batch_id,
        col(BulkBatch.id).is_distinct_from(except_id),
        col(BulkBatch.deleted_at).is_(None),
        col(BulkBatch.status).not_in(_WITHOUT_EFFECT),
    )
    correction_id = session.exec(query).first()
    if correction_id is not None:
        raise AlreadyCorrectedError(correction_id)


def _build_error(request: BulkRequest, code: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError([RequestIssue(request.corrects_pointer, code, detail)])
