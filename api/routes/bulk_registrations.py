"""``/bulk-registrations``: each handler parses, asks one thing, answers."""

from functools import partial
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import format_etag, parse_if_match
from api.headers import IdempotencyKeyHeader, IfMatchHeader, IfNoneMatchHeader, LastEventId, PreferredWait
from api.job_events import EVENT_STREAM_RESPONSES as EVENTS_DOCUMENTED
from api.job_events import stream_job_events
from api.job_responses import JobView, respond, respond_if_changed, respond_when_finished
from api.openapi import raises
from api.paging import decode_seq_cursor, encode_seq_cursor, split_page
from api.schemas.bulk import (
    BatchCreateQuery,
    BatchListQuery,
    BatchPage,
    BatchResource,
    BatchSummary,
    BatchValidationResource,
    ItemListQuery,
    ItemPage,
)
from api.schemas.bulk_body import CSV_MEDIA_TYPE, REQUEST_BODY_OPENAPI, parse_submission
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
    dependencies=[require(Permission.START_JOBS)],
    responses={HTTPStatus.OK: {"model": BatchValidationResource, "description": "With `validate_only`: every verdict"}},
    openapi_extra=REQUEST_BODY_OPENAPI,
)
async def start_bulk_registration(
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    request: Request,
    query: Annotated[BatchCreateQuery, Query()],
    wait: PreferredWait,
    idempotency_key: IdempotencyKeyHeader = None,
) -> BatchResource | BatchValidationResource:
    """Register one activity for many mentors. It is accepted once PostgreSQL has it, whatever else is away."""
    media_type, body = request.headers.get("content-type", ""), await request.body()
    asked = await run_in_threadpool(parse_submission, media_type, body, query, caller.org_id)
    if asked.validate_only:
        verdicts = await run_in_threadpool(services.batches.validate, caller, asked.request)
        response.status_code = HTTPStatus.OK
        return BatchValidationResource.from_result(asked.request.org_id, verdicts)
    accepted = await run_in_threadpool(services.batches.accept, caller, asked.request, idempotency_key)
    if accepted.is_new:
        services.dispatcher.start(accepted.batch.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.batch.id}"
    return await respond_when_finished(
        partial(_load_view, services, caller, accepted.batch.id), services, response, wait
    )


@router.get("", operation_id="list_bulk_registrations", dependencies=[require(Permission.VIEW_JOBS)])
def list_bulk_registrations(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[BatchListQuery, Query()]
) -> BatchPage:
    """The batches the caller may see, newest first."""
    found = services.batches.list(caller, BatchFilter(**query.filter_args))
    shown, token = split_page(found, query.page_size, lambda batch: (batch.created_at, batch.id))
    return BatchPage(items=tuple(BatchSummary.from_row(batch, caller) for batch in shown), next_page_token=token)


@router.get("/{batch_id:uuid}", operation_id="get_bulk_registration", dependencies=[require(Permission.VIEW_JOBS)])
async def get_bulk_registration(
    batch_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> BatchResource | None:
    """One batch with its first items, whatever became of it."""
    return await respond_if_changed(partial(_load_view, services, caller, batch_id), response, if_none_match)


@router.get(
    "/{batch_id:uuid}/items", operation_id="list_bulk_items", dependencies=[require(Permission.READ_ORGANISATION)]
)
def list_bulk_items(
    batch_id: UUID, caller: CurrentCaller, services: ServicesDep, query: Annotated[ItemListQuery, Query()]
) -> ItemPage:
    """What became of each item, in the order of the submission."""
    after = decode_seq_cursor(query.page_token) - 1 if query.page_token else -1
    found = services.batches.list_items(caller, batch_id, ItemFilter(query.status, after, query.page_size))
    shown, more = found[: query.page_size], len(found) > query.page_size
    return ItemPage(
        items=tuple(outcome_from_row(item) for item in shown),
        next_page_token=encode_seq_cursor(shown[-1].position + 1) if more else None,
    )


@router.get(
    "/{batch_id:uuid}/events",
    operation_id="watch_bulk_registration",
    dependencies=[require(Permission.VIEW_JOBS)],
    response_class=StreamingResponse,
    responses=EVENTS_DOCUMENTED,
)
async def watch_bulk_registration(
    batch_id: UUID, caller: CurrentCaller, services: ServicesDep, request: Request, last_event_id: LastEventId
) -> Response:
    """Every step of a batch as it happens, and how many items have come to which outcome."""
    return await stream_job_events(
        partial(_load_view, services, caller, batch_id), services, request.state.token, last_event_id
    )


@router.get(
    "/{batch_id:uuid}/failed.csv",
    operation_id="download_failed_items",
    dependencies=[require(Permission.DOWNLOAD_FILES)],
    response_class=Response,
    responses={
        HTTPStatus.OK: {"content": {CSV_MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "The failed items"}
    },
)
def download_failed_items(batch_id: UUID, caller: CurrentCaller, services: ServicesDep) -> Response:
    """What failed, to be corrected in a spreadsheet and sent again."""
    name = f"failed-{batch_id}.csv"
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(services.batches.download_failed_csv(caller, batch_id), media_type=CSV_MEDIA_TYPE, headers=headers)


@router.put(
    "/{batch_id:uuid}",
    operation_id="edit_bulk_registration",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def edit_bulk_registration(
    batch_id: UUID,
    body: BulkEdit,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_match: IfMatchHeader = None,
) -> BatchResource:
    """Call a batch otherwise, or cancel it."""
    batch = await run_in_threadpool(services.batch_commands.edit, caller, batch_id, body, parse_if_match(if_match))
    if batch.status is BulkStatus.CANCELLING:
        services.dispatcher.cancel(batch.job)
    return await respond(partial(_load_view, services, caller, batch_id), response)


@router.post(
    "/{batch_id:uuid}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_bulk_registration",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel_bulk_registration(
    batch_id: UUID, caller: CurrentCaller, services: ServicesDep, response: Response, wait: PreferredWait
) -> BatchResource:
    """Begin no further items; what is registered stays."""
    batch = await run_in_threadpool(services.batch_commands.cancel, caller, batch_id)
    services.dispatcher.cancel(batch.job)
    return await respond_when_finished(partial(_load_view, services, caller, batch_id), services, response, wait)


@router.post(
    "/{batch_id:uuid}/retry",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="retry_bulk_registration",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def retry_bulk_registration(
    batch_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
    wait: PreferredWait,
    idempotency_key: IdempotencyKeyHeader = None,
) -> BatchResource:
    """Try what failed or was cancelled again, and nothing else."""
    batch, is_new = await run_in_threadpool(services.batch_commands.retry, caller, batch_id, idempotency_key)
    response.headers["Location"] = request.scope["path"].removesuffix("/retry")
    if is_new:
        services.dispatcher.start(batch.job)
    return await respond_when_finished(partial(_load_view, services, caller, batch_id), services, response, wait)


@router.delete(
    "/{batch_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="delete_bulk_registration",
    dependencies=[require(Permission.ADMINISTER)],
    openapi_extra=raises(InvalidStateError),
)
def delete_bulk_registration(batch_id: UUID, caller: CurrentCaller, services: ServicesDep) -> None:
    """Delete an ended batch and its items; the registered activities stay, and the trail."""
    services.batch_commands.delete(caller, batch_id)


def _load_view(services: Services, caller: Caller, batch_id: UUID) -> JobView[BatchResource]:
    found = services.batches.find(caller, batch_id)
    batch = found.batch
    return JobView(
        job_id=batch.id,
        org_id=batch.org_id,
        is_finished=batch.status.is_final,
        etag=format_etag(batch.edits, batch.changes, None),
        build_body=partial(BatchResource.from_details, found, caller),
        progress=counts_from_row(batch).model_dump(),
    )
