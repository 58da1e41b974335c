"""Batches that correct the failed items of an earlier one."""

from sqlmodel import Session

from stafett.database.tables import BulkBatch
from stafett.domain.bulk import BulkRequest
from stafett.domain.errors import InvalidRequestError, RequestIssue


def find_corrected_batch(session: Session, request: BulkRequest) -> BulkBatch | None:
    """Return the batch that the request corrects; raise if it cannot be corrected."""
    return _find(session, request, for_update=False)


def lock_corrected_batch(session: Session, request: BulkRequest) -> BulkBatch | None:
    """Lock the batch that the request corrects until the transaction ends; raise if it cannot be corrected."""
    return _find(session, request, for_update=True)


def _find(session: Session, request: BulkRequest, *, for_update: bool) -> BulkBatch | None:
    if request.corrects is None:
        return None
    batch = session.get(BulkBatch, request.corrects, with_for_update=for_update)
    if batch is None or batch.org_id != request.org_id or batch.deleted_at is not None:
        raise _build_error(request, "unknown_batch", "The organisation has no such batch.")
    if not batch.status.is_final:
        raise _build_error(request, "not_finished", f"The batch is {batch.status}; correct it after it has ended.")
    return batch


def _build_error(request: BulkRequest, code: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError([RequestIssue(request.corrects_pointer, code, detail)])
