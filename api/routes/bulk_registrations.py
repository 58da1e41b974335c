"""``/bulk-registrations``: each handler parses, asks one thing, answers."""

from functools import partial
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.dependencies import CallerOf, Given, GuardedRoute, Services, allowed
from api.etags import edits_seen, entity_tag
from api.headers import IdempotencyKey, IfMatch, IfNoneMatch, LastSeen, PreferredWait
from api.job_events import DOCUMENTED as EVENTS_DOCUMENTED
from api.job_events import job_events
from api.job_responses import JobView, answered, answered_unless_known, answered_when_over
from api.openapi import raises
from api.paging import page_of, seq_of, token_after_seq
from api.schemas.bulk import (
    BatchListed,
    BatchPage,
    BatchQuery,
    BatchResource,
    CsvQuery,
    ItemPage,
    ItemQuery,
    VerdictsResource,
)
from api.schemas.bulk_body import CSV, DOCUMENTED, submission
from stafett.bulk.commands import BulkEdit
from stafett.bulk.service import BatchFilter, ItemFilter, outcome_from_row
from stafett.bulk.state import counts_from_row
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import InvalidStateError
from stafett.domain.membership import Caller, Permission

router = APIRouter(prefix="/bulk-registrations", tags=["Bulk registrations"], route_class=GuardedRoute)


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="start_bulk_registration",
    dependencies=[allowed(Permission.START_JOBS)],
    responses={HTTPStatus.OK: {"model": VerdictsResource, "description": "With `validate_only`: every verdict"}},
    openapi_extra=DOCUMENTED,
)
async def start(
    caller: CallerOf,
    given: Given,
    response: Response,
    request: Request,
    query: Annotated[CsvQuery, Query()],
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> BatchResource | VerdictsResource:
    """Register one activity for many mentors. It is accepted once PostgreSQL has it, whatever else is away."""
    media_type, body = request.headers.get("content-type", ""), await request.body()
    asked = await run_in_threadpool(submission, media_type, body, query, caller.org_id)
    if asked.validate_only:
        verdicts = await run_in_threadpool(given.batches.validate, caller, asked.request)
        response.status_code = HTTPStatus.OK
        return VerdictsResource.of(asked.request.org_id, verdicts)
    accepted = await run_in_threadpool(given.batches.accept, caller, asked.request, idempotency_key)
    if accepted.is_new:
        given.starter.start(accepted.batch.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.batch.id}"
    return await answered_when_over(partial(_seen, given, caller, accepted.batch.id), given, response, wait)


@router.get("", operation_id="list_bulk_registrations", dependencies=[allowed(Permission.VIEW_JOBS)])
def list_batches(caller: CallerOf, given: Given, wanted: Annotated[BatchQuery, Query()]) -> BatchPage:
    """The batches the caller may see, newest first."""
    found = given.batches.list(caller, BatchFilter(**wanted.wanted))
    shown, token = page_of(found, wanted.page_size, lambda batch: (batch.created_at, batch.id))
    return BatchPage(items=tuple(BatchListed.of(batch, caller) for batch in shown), next_page_token=token)


@router.get("/{batch_id:uuid}", operation_id="get_bulk_registration", dependencies=[allowed(Permission.VIEW_JOBS)])
async def get(
    batch_id: UUID, caller: CallerOf, given: Given, response: Response, if_none_match: IfNoneMatch = None
) -> BatchResource | None:
    """One batch with its first items, whatever became of it."""
    return await answered_unless_known(partial(_seen, given, caller, batch_id), response, if_none_match)


@router.get(
    "/{batch_id:uuid}/items", operation_id="list_bulk_items", dependencies=[allowed(Permission.READ_ORGANISATION)]
)
def items(batch_id: UUID, caller: CallerOf, given: Given, wanted: Annotated[ItemQuery, Query()]) -> ItemPage:
    """What became of each item, in the order of the submission."""
    after = seq_of(wanted.page_token) - 1 if wanted.page_token else -1
    found = given.batches.list_items(caller, batch_id, ItemFilter(wanted.status, after, wanted.page_size))
    shown, more = found[: wanted.page_size], len(found) > wanted.page_size
    return ItemPage(
        items=tuple(outcome_from_row(item) for item in shown),
        next_page_token=token_after_seq(shown[-1].position + 1) if more else None,
    )


@router.get(
    "/{batch_id:uuid}/events",
    operation_id="watch_bulk_registration",
    dependencies=[allowed(Permission.VIEW_JOBS)],
    response_class=StreamingResponse,
    responses=EVENTS_DOCUMENTED,
)
async def events(batch_id: UUID, caller: CallerOf, given: Given, request: Request, last: LastSeen) -> Response:
    """Every step of a batch as it happens, and how many items have come to which outcome."""
    return await job_events(partial(_seen, given, caller, batch_id), given, request.state.bearer, last)


@router.get(
    "/{batch_id:uuid}/failed.csv",
    operation_id="download_failed_items",
    dependencies=[allowed(Permission.DOWNLOAD_FILES)],
    response_class=Response,
    responses={HTTPStatus.OK: {"content": {CSV: {"schema": {"type": "string"}}}, "description": "The failed items"}},
)
def failed(batch_id: UUID, caller: CallerOf, given: Given) -> Response:
    """What failed, to be corrected in a spreadsheet and sent again."""
    name = f"failed-{batch_id}.csv"
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(given.batches.download_failed_csv(caller, batch_id), media_type=CSV, headers=headers)


@router.put(
    "/{batch_id:uuid}",
    operation_id="edit_bulk_registration",
    dependencies=[allowed(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def edit(
    batch_id: UUID, body: BulkEdit, caller: CallerOf, given: Given, response: Response, if_match: IfMatch = None
) -> BatchResource:
    """Call a batch otherwise, or cancel it."""
    batch = await run_in_threadpool(given.batch_control.edit, caller, batch_id, body, edits_seen(if_match))
    if batch.status is BulkStatus.CANCELLING:
        given.starter.stop(batch.job)
    return await answered(partial(_seen, given, caller, batch_id), response)


@router.post(
    "/{batch_id:uuid}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_bulk_registration",
    dependencies=[allowed(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel(
    batch_id: UUID, caller: CallerOf, given: Given, response: Response, wait: PreferredWait
) -> BatchResource:
    """Begin no further items; what is registered stays."""
    batch = await run_in_threadpool(given.batch_control.cancel, caller, batch_id)
    given.starter.stop(batch.job)
    return await answered_when_over(partial(_seen, given, caller, batch_id), given, response, wait)


@router.post(
    "/{batch_id:uuid}/retry",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="retry_bulk_registration",
    dependencies=[allowed(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def retry(
    batch_id: UUID,
    caller: CallerOf,
    given: Given,
    request: Request,
    response: Response,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> BatchResource:
    """Try what failed or was cancelled again, and nothing else."""
    batch, is_new = await run_in_threadpool(given.batch_control.retry, caller, batch_id, idempotency_key)
    response.headers["Location"] = request.scope["path"].removesuffix("/retry")
    if is_new:
        given.starter.start(batch.job)
    return await answered_when_over(partial(_seen, given, caller, batch_id), given, response, wait)


@router.delete(
    "/{batch_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="delete_bulk_registration",
    dependencies=[allowed(Permission.ADMINISTER)],
    openapi_extra=raises(InvalidStateError),
)
def delete(batch_id: UUID, caller: CallerOf, given: Given) -> None:
    """Delete an ended batch and its items; the registered activities stay, and the trail."""
    given.batch_control.delete(caller, batch_id)


def _seen(given: Services, caller: Caller, batch_id: UUID) -> JobView[BatchResource]:
    found = given.batches.find(caller, batch_id)
    batch = found.batch
    return JobView(
        job_id=batch.id,
        org_id=batch.org_id,
        is_over=batch.status.is_final,
        etag=entity_tag(batch.edits, batch.changes, None),
        make_body=partial(BatchResource.whole, found, caller),
        progress=counts_from_row(batch).model_dump(),
    )
