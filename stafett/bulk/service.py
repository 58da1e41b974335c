"""Accepts and validates batches, and finds and lists them for the API."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, NamedTuple
from uuid import UUID, uuid4

from pydantic import Field, StrictInt, TypeAdapter
from sqlalchemy import insert, text
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.bulk import items as bulk_items
from stafett.bulk.batch_activities import BatchActivities, summarise_activities
from stafett.bulk.corrections import find_corrected_batch, lock_corrected_batch
from stafett.bulk.csv_format import FailedItem, render_failed_csv
from stafett.bulk.item_messages import describe_item_error
from stafett.bulk.validation import (
    WarningCounts,
    describe_warning,
    find_item_issues,
    find_warnings,
    predict_error_codes,
    predict_warnings,
    sort_issues,
)
from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.pagination import (
    DEFAULT_PAGE_SIZE,
    ListFilter,
    Page,
    PageSize,
    PageToken,
    SortKey,
    check_page_token,
    load_page,
    require_known_organisation,
    select_visible,
)
from stafett.database.session import Database
from stafett.database.tables import BulkBatch, BulkItem, PeerMentor
from stafett.domain.bulk import (
    MAX_ITEMS_PER_BATCH,
    BatchWarning,
    BulkCounts,
    BulkRequest,
    ItemError,
    ItemOutcome,
    PlannedItem,
    plan_items,
)
from stafett.domain.bulk_status import BulkStatus, ItemErrorCode, ItemStatus
from stafett.domain.errors import InvalidRequestError, PermissionDeniedError
from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.jobs.commands import get_job_or_404
from stafett.jobs.state import JobEvent, append_job_event, update_job

START_OPERATION = "bulk-registrations.start"
MAX_ITEMS_SHOWN = 200
"""Number of items in the batch resource itself; the others are in the list of items."""

_SET_READ_ONLY = text("SET TRANSACTION READ ONLY")
_POSITION = TypeAdapter(tuple[Annotated[StrictInt, Field(ge=0, lt=MAX_ITEMS_PER_BATCH)]])
_SUBMISSION_ORDER = SortKey(("position",), _POSITION)


class BatchDetails(NamedTuple):
    """A batch with its first items."""

    batch: BulkBatch
    items: Sequence[ItemOutcome]
    corrected_by: Sequence[UUID] = ()
    """The batches that correct its failed items, oldest first."""
    warnings: Sequence[BatchWarning] = ()
    is_new: bool = False
    """Whether this call has accepted it."""


class ValidationResult(NamedTuple):
    """The outcomes that a batch and each of its items would have."""

    counts: BulkCounts
    items: Sequence[ItemOutcome]
    warnings: Sequence[BatchWarning]
    planned: Sequence[PlannedItem] = ()
    """The same items, as a batch would store them."""


class BatchFilter(ListFilter):
    """Filter of the list of batches."""

    status: BulkStatus | None = Field(None, description="Only batches with this status.")


class ItemFilter(FrozenModel):
    """Filter of the list of items, which is in the order of the submission."""

    status: ItemStatus | None = Field(None, description="Only items with this status.")
    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None


def authorise_registration(caller: Caller, org_id: str) -> None:
    if not caller.can_start_in(org_id):
        raise PermissionDeniedError("You may not register activities for this organisation.")


class BulkService:
    """The API's access to the ``bulk_registrations`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(
        self, caller: Caller, request: BulkRequest, idempotency_key: str | None = None, locale: Locale = "en"
    ) -> BatchDetails:
        """Commit batch, items, key and audit event together; only PostgreSQL is needed."""
        authorise_registration(caller, request.org_id)
        items, new_id = self._plan_items(caller, request), uuid4()
        with self._database.transaction(request.org_id, user_id=caller.user_id) as session:
            scope = IdempotencyScope(request.org_id, START_OPERATION, idempotency_key)
            batch_id = claim_idempotency_key(session, scope, request, new_id)
            if batch_id != new_id:
                return _load_details(session, session.get_one(BulkBatch, batch_id), locale)
            corrected = lock_corrected_batch(session, request)
            batch = _insert_batch(session, new_id, caller, request, items)
            if corrected:
                update_job(session, corrected, status=corrected.status)  # a change, so that its entity tag changes
            event = JobEvent("bulk_requested", caller.actor, {"corrects": str(corrected.id)} if corrected else None)
            append_job_event(session, batch, event, status=batch.status)
            pending = [_new_outcome(item, ItemStatus.PENDING, locale) for item in items[:MAX_ITEMS_SHOWN]]
            return BatchDetails(batch, pending, is_new=True, warnings=_describe_warnings(batch, locale))

    def validate(self, caller: Caller, request: BulkRequest, locale: Locale = "en") -> ValidationResult:
        """Predict the outcomes without writing anything."""
        authorise_registration(caller, request.org_id)
        items = self._plan_items(caller, request)
        with self._database.transaction(request.org_id, user_id=caller.user_id) as session:
            session.execute(_SET_READ_ONLY)
            codes = predict_error_codes(session, request, items)
            find_corrected_batch(session, request)
        failed = len(codes) - codes.count(None)
        counts = BulkCounts(total=len(items), pending=0, registered=len(items) - failed, failed=failed, cancelled=0)
        warnings = find_warnings(items, codes, datetime.now(UTC))
        return ValidationResult(
            counts,
            [_predicted_outcome(item, code, locale) for item, code in zip(items, codes, strict=True)],
            [describe_warning(warning, locale) for warning in warnings],
            items,
        )

    def _plan_items(self, caller: Caller, request: BulkRequest) -> Sequence[PlannedItem]:
        """Plan the items, or raise all errors of the request together if it cannot be a batch."""
        if missing := [*request.find_missing_fields()]:
            raise InvalidRequestError([*missing, *request.find_duplicates().values()])
        items, duplicates = plan_items(request), request.find_duplicates()
        if duplicates or request.line_issues:
            with self._database.transaction(request.org_id, user_id=caller.user_id) as session:
                session.execute(_SET_READ_ONLY)
                codes = predict_error_codes(session, request, items)
            found = find_item_issues(request, items, codes, duplicates)
            raise InvalidRequestError(sort_issues([*request.line_issues, *duplicates.values(), *found]))
        return items

    def find(self, caller: Caller, batch_id: UUID, *, needs_items: bool = True, locale: Locale = "en") -> BatchDetails:
        """Load a batch, with its first items if they are needed and not hidden from an operator."""
        with self._database.caller_transaction(caller) as session:
            batch = get_job_or_404(session, BulkBatch, batch_id)
            if needs_items and not caller.is_operator:
                return _load_details(session, batch, locale)
            return BatchDetails(batch, (), _load_corrections(session, batch), _describe_warnings(batch, locale))

    def summarise_activities(self, caller: Caller, batch: BulkBatch) -> BatchActivities:
        """Summarise what the items of a batch register."""
        with self._database.caller_transaction(caller) as session:
            _require_member(caller, batch)
            return summarise_activities(session, batch)

    def exists(self, caller: Caller, batch_id: UUID) -> bool:
        """Return whether there is such a batch, and it is not deleted."""
        with self._database.caller_transaction(caller) as session:
            batch = session.get(BulkBatch, batch_id)
            return batch is not None and batch.deleted_at is None

    def list_items(self, caller: Caller, batch_id: UUID, filters: ItemFilter) -> Page[BulkItem]:
        check_page_token(filters, BulkItem, _SUBMISSION_ORDER)
        query = select_visible(BulkItem, caller, filters).where(BulkItem.batch_id == batch_id)
        with self._database.caller_transaction(caller) as session:
            _require_member(caller, get_job_or_404(session, BulkBatch, batch_id))
            return load_page(session, BulkItem, query, filters, _SUBMISSION_ORDER)

    def download_failed_csv(self, caller: Caller, batch_id: UUID, locale: Locale = "en") -> str:
        """Render the failed items as a CSV file that can be corrected and submitted again."""
        query = _select_items(batch_id).where(col(BulkItem.status) == ItemStatus.FAILED)
        with self._database.caller_transaction(caller) as session:
            batch = get_job_or_404(session, BulkBatch, batch_id)
            if not caller.can_download_from(batch.org_id):
                raise PermissionDeniedError("You may not download this batch's items.")
            items = session.exec(query).all()
            names = _load_mentor_names(session, items)
            failed = [
                FailedItem(
                    outcome_from_row(item),
                    {"event_id": item.event_id} | batch.activity | item.overrides,
                    names.get(item.mentor_id, ""),
                    item.validation_error,
                )
                for item in items
            ]
            event = JobEvent("failed_items_downloaded", caller.actor)
            append_job_event(session, batch, event)
        return render_failed_csv(failed, locale)

    def list(self, caller: Caller, filters: BatchFilter) -> Page[BulkBatch]:
        with self._database.caller_transaction(caller) as session:
            require_known_organisation(session, caller, filters.org_id)
            return load_page(session, BulkBatch, select_visible(BulkBatch, caller, filters), filters)


def _load_details(session: Session, batch: BulkBatch, locale: Locale) -> BatchDetails:
    rows = session.exec(_select_items(batch.id).limit(MAX_ITEMS_SHOWN)).all()
    items = [outcome_from_row(row, locale) for row in rows]
    return BatchDetails(batch, items, _load_corrections(session, batch), _describe_warnings(batch, locale))


def _load_corrections(session: Session, batch: BulkBatch) -> Sequence[UUID]:
    is_correction = col(BulkBatch.org_id) == batch.org_id, col(BulkBatch.corrects) == batch.id
    query = select(BulkBatch.id).where(*is_correction, col(BulkBatch.deleted_at).is_(None))
    return session.exec(query.order_by(col(BulkBatch.created_at), col(BulkBatch.id))).all()


def _describe_warnings(batch: BulkBatch, locale: Locale) -> Sequence[BatchWarning]:
    return [describe_warning(WarningCounts(**warning), locale) for warning in batch.warnings]


def outcome_from_row(item: BulkItem, locale: Locale = "en") -> ItemOutcome:
    is_written = item.status is ItemStatus.REGISTERED
    return ItemOutcome(
        client_ref=item.client_ref,
        mentor_id=item.mentor_ref,
        status=item.status,
        activity_id=item.activity_id if is_written else None,
        error=_build_item_error(item.error_code, item.validation_error, locale) if item.error_code else None,
        attempts=item.attempts,
    )


@lru_cache(maxsize=1000)  # most items of a batch have one of few errors
def _build_item_error(code: ItemErrorCode, faults: str | None, locale: Locale) -> ItemError:
    return ItemError(code=code, message=describe_item_error(code, faults, locale), retryable=code.is_retryable)


def _predicted_outcome(item: PlannedItem, code: ItemErrorCode | None, locale: Locale) -> ItemOutcome:
    return _new_outcome(item, ItemStatus.FAILED if code else ItemStatus.REGISTERED, locale, code)


def _new_outcome(
    item: PlannedItem, status: ItemStatus, locale: Locale, code: ItemErrorCode | None = None
) -> ItemOutcome:
    return ItemOutcome(
        client_ref=item.client_ref,
        mentor_id=item.mentor_ref,
        status=status,
        activity_id=None,
        error=_build_item_error(code, item.validation_error, locale) if code else None,
        attempts=0,
    )


def _require_member(caller: Caller, batch: BulkBatch) -> None:
    if caller.org_id != batch.org_id:
        raise PermissionDeniedError("You may read this batch's status, but not its items.")


def _load_mentor_names(session: Session, items: Sequence[BulkItem]) -> dict[UUID | None, str]:
    ids = {item.mentor_id for item in items if item.mentor_id is not None}
    query = select(PeerMentor.id, PeerMentor.display_name).where(col(PeerMentor.id).in_(ids))
    return dict(session.exec(query).all())


def _select_items(batch_id: UUID) -> SelectOfScalar[BulkItem]:
    return select(BulkItem).where(col(BulkItem.batch_id) == batch_id).order_by(col(BulkItem.position))


def _insert_batch(
    session: Session, batch_id: UUID, caller: Caller, request: BulkRequest, items: Sequence[PlannedItem]
) -> BulkBatch:
    starts = [datetime.fromisoformat(item.starts_at) for item in items if item.starts_at]
    statement = insert(BulkBatch).values(
        id=batch_id,
        org_id=request.org_id,
        requested_by=caller.user_id,
        label=request.label,
        activity=request.activity.provided,
        status=BulkStatus.ACCEPTED,
        attempt=1,
        total=len(items),
        corrects=request.corrects,
        warnings=[warning._asdict() for warning in predict_warnings(session, request, items, datetime.now(UTC))],
        period_start=min(starts, default=None),
        period_end=max(starts, default=None),
    )
    batch = session.scalars(statement.returning(BulkBatch)).one()
    bulk_items.insert_items(session, batch_id, request.org_id, items)
    return batch
