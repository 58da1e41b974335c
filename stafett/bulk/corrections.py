"""Batches that correct the failed items of an earlier one."""

from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from stafett.database.tables import BulkBatch
from stafett.domain.bulk import BulkRequest
from stafett.domain.errors import AlreadyCorrectedError, InvalidRequestError, InvalidStateError, RequestIssue

# A correction of a correction registers what the first one left, so every later one is searched.
_SELECT_CORRECTION_IN_EFFECT = text("""
WITH RECURSIVE corrections AS (
    SELECT id, status, registered, created_at, deleted_at FROM bulk_registrations
    WHERE org_id = :org_id AND corrects = :batch_id AND id IS DISTINCT FROM CAST(:except_id AS uuid)
    UNION ALL
    SELECT b.id, b.status, b.registered, b.created_at, b.deleted_at
    FROM bulk_registrations b JOIN corrections c ON b.org_id = :org_id AND b.corrects = c.id
)
SELECT id FROM corrections
WHERE deleted_at IS NULL AND (status NOT IN ('failed', 'cancelled') OR registered > 0)
ORDER BY created_at LIMIT 1
""")


def find_corrected_batch(session: Session, request: BulkRequest) -> BulkBatch | None:
    """Return the batch that the request corrects; raise if it cannot be corrected."""
    return _find(session, request, for_update=False)


def lock_corrected_batch(session: Session, request: BulkRequest) -> BulkBatch | None:
    """Lock the batch that the request corrects until the transaction ends; raise if it cannot be corrected."""
    return _find(session, request, for_update=True)


def lock_for_retry(session: Session, batch: BulkBatch) -> None:
    """Raise if what a locked batch would register again is left to a correction of it.

    If the batch is itself a correction, lock the batches that it corrects, and raise if another correction or a retry
    has taken its place.
    """
    _require_no_correction(session, batch.org_id, batch.id)
    _require_that_it_corrects(session, batch, for_update=True)


def _find(session: Session, request: BulkRequest, *, for_update: bool) -> BulkBatch | None:
    if request.corrects is None:
        return None
    batch = session.get(BulkBatch, request.corrects, with_for_update=for_update)
    if batch is None or batch.org_id != request.org_id or batch.deleted_at is not None:
        raise _build_error(request, "unknown_batch", "The organisation has no such batch.")
    if not batch.status.is_final:
        raise _build_error(request, "not_finished", f"The batch is {batch.status}; correct it after it has ended.")
    _require_no_correction(session, batch.org_id, batch.id)
    _require_that_it_corrects(session, batch, for_update=for_update)
    if not batch.failed:
        raise _build_error(request, "no_failed_items", "The batch has no failed items to correct.")
    return batch


def _require_no_correction(session: Session, org_id: str, batch_id: UUID, except_id: UUID | None = None) -> None:
    """Raise if another batch corrects this one, and may still register something or has done so."""
    parameters = {"org_id": org_id, "batch_id": batch_id, "except_id": except_id}
    correction_id = session.scalars(_SELECT_CORRECTION_IN_EFFECT, parameters).first()
    if correction_id is not None:
        raise AlreadyCorrectedError(correction_id)


def _require_that_it_corrects(session: Session, batch: BulkBatch, *, for_update: bool) -> None:
    """Raise if another correction, or a retry, has taken the place of a correction; of any other batch do nothing."""
    while batch.corrects is not None:
        corrected = session.get_one(BulkBatch, batch.corrects, with_for_update=for_update)
        _require_no_correction(session, batch.org_id, corrected.id, except_id=batch.id)
        if corrected.completed_at is None or corrected.completed_at > batch.created_at:
            raise InvalidStateError(
                f"Batch {corrected.id}, which batch {batch.id} corrects, has been retried since. "
                "Correct what failed in that one."
            )
        batch = corrected


def _build_error(request: BulkRequest, code: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError([RequestIssue(request.corrects_pointer, code, detail)])
