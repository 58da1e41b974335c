"""``/bulk-registrations``: submit, follow, edit, cancel and retry batches of activities."""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.concurrency import OccupyingUse, limit_concurrency, limit_large_lists, run_in_threadpool
from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import format_etag, parse_if_match
from api.headers import IdempotencyKeyHeader, IfMatchHeader, IfNoneMatchHeader, LastEventId, PreferredWait
from api.job_events import EVENT_STREAM_RESPONSES, stream_job_events
from api.job_responses import respond, respond_if_changed, respond_or_wait
from api.job_views import JobView
from api.languages import VARY_BY_LANGUAGE, RequestLanguage
from api.openapi import raises
from api.polls import answer_polls
from api.schemas.bulk import (
    BatchCreateQuery,
    BatchPage,
    BatchResource,
    BatchSummary,
    BatchValidationResource,
    FailedItemsQuery,
    ItemPage,
)
from api.schemas.bulk_body import (
    CSV_MEDIA_TYPE,
    JSON_MEDIA_TYPE,
    REQUEST_BODY_OPENAPI,
    BatchSubmission,
    parse_submission,
)
from stafett.bulk.commands import BulkEdit
from stafett.bulk.service import BatchDetails, BatchFilter, ItemFilter, outcome_from_row
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import AlreadyCorrectedError, InvalidStateError
from stafett.domain.export import Locale
from stafett.domain.job import JobKind
from stafett.domain.membership import Caller, Permission

router = APIRouter(prefix="/bulk-registrations", tags=["Bulk registrations"], route_class=GuardedRoute)
BatchId = Annotated[UUID, Path(description="Id of the batch.")]


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="start_bulk_registration",
    summary="Start a bulk registration",
    description=(
        "Register an activity for up to 10,000 peer mentors. Items are independent: a failed item affects no other. "
        "The batch is accepted once it is stored; it starts later if Temporal or the workers are unavailable."
    ),
    dependencies=[require(Permission.START_JOBS)],
    response_model=BatchResource | BatchValidationResource,
    responses={
        HTTPStatus.OK: {
            "model": BatchValidationResource,
            "description": "With `validate_only`: the outcome of each item",
        }
    },
    openapi_extra=REQUEST_BODY_OPENAPI | raises(AlreadyCorrectedError, InvalidStateError),
)
async def start_bulk_registration(
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    request: Request,
    query: Annotated[BatchCreateQuery, Query()],
    wait: PreferredWait,
    language: RequestLanguage,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Any:
    media_type, body = request.headers.get("content-type", ""), await request.body()
    submission = await run_in_threadpool(parse_submission, media_type, body, query, caller.org_id)
    if submission.validate_only:
        with services.concurrency.occupy(OccupyingUse.VALIDATIONS, caller):
            return await run_in_threadpool(_validate_batch, services, caller, submission, language)
    accepted = await run_in_threadpool(services.batches.accept, caller, submission.request, idempotency_key, language)
    load = partial(load_view, services, caller, accepted.batch.id, language)
    if accepted.is_new:
        services.dispatcher.start(accepted.batch.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.batch.id}"
    return await respond_or_wait(load, services, response, wait, _build_view(caller, accepted))


def _validate_batch(services: Services, caller: Caller, submission: BatchSubmission, language: Locale) -> Response:
    """Validate and render all items in the thread, because 10,000 of them would block the event loop."""
    result = services.batches.validate(caller, submission.request, language)
    resource = BatchValidationResource.from_result(submission.request.org_id, result)
    return Response(resource.model_dump_json(), media_type=JSON_MEDIA_TYPE, headers=VARY_BY_LANGUAGE)


@router.get(
    "",
    operation_id="list_bulk_registrations",
    summary="List bulk registrations",
    description="List the batches that the caller may see, newest first.",
    dependencies=[require(Permission.VIEW_JOBS), limit_large_lists()],
)
def list_bulk_registrations(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[BatchFilter, Query()]
) -> BatchPage:
    batches, token = services.batches.list(caller, query)
    return BatchPage(items=tuple(BatchSummary.from_row(batch, caller) for batch in batches), next_page_token=token)


@router.get(
    "/{batch_id:uuid}",
    operation_id="get_bulk_registration",
    summary="Get a bulk registration",
    description=(
        "Get a batch with its status, counts and first 200 items. `Retry-After` is present until the batch has "
        "finished. Operators get no label, shared fields or items."
    ),
    dependencies=[require(Permission.VIEW_JOBS), answer_polls(JobKind.BULK_REGISTRATION)],
)
async def get_bulk_registration(
    batch_id: BatchId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    language: RequestLanguage,
    if_none_match: IfNoneMatchHeader = None,
) -> BatchResource | None:
    return await respond_if_changed(partial(load_view, services, caller, batch_id, language), response, if_none_match)


@router.get(
    "/{batch_id:uuid}/items",
    operation_id="list_bulk_items",
    summary="List a batch's items",
    description="List the items of a batch with their outcomes, in the order of the submission.",
    dependencies=[require(Permission.READ_ORGANISATION), limit_large_lists()],
)
def list_bulk_items(
    batch_id: BatchId,
    caller: CurrentCaller,
    services: ServicesDep,
    language: RequestLanguage,
    query: Annotated[ItemFilter, Query()],
) -> ItemPage:
    items, token = services.batches.list_items(caller, batch_id, query)
    return ItemPage(items=tuple(outcome_from_row(item, language) for item in items), next_page_token=token)


@router.get(
    "/{batch_id:uuid}/events",
    operation_id="watch_bulk_registration",
    summary="Stream a bulk registration's events",
    description="Stream status transitions and item counts as server-sent events until the batch has finished.",
    dependencies=[require(Permission.VIEW_JOBS), limit_concurrency(OccupyingUse.EVENT_STREAMS)],
    response_class=StreamingResponse,
    responses=EVENT_STREAM_RESPONSES,
)
async def watch_bulk_registration(
    batch_id: BatchId, caller: CurrentCaller, services: ServicesDep, request: Request, last_event_id: LastEventId
) -> Response:
    return await stream_job_events(
        partial(load_view, services, caller, batch_id), services, request.state.token, last_event_id
    )


@router.get(
    "/{batch_id:uuid}/failed.csv",
    operation_id="download_failed_items",
    summary="Download failed items",
    description=(
        "Download the failed items as CSV. The file can be corrected and submitted again to "
        "`POST /bulk-registrations`; the columns `mentor_name`, `error_code` and `error_message` are ignored then."
    ),
    dependencies=[require(Permission.DOWNLOAD_FILES), limit_concurrency(OccupyingUse.LARGE_LISTS)],
    response_class=Response,
    responses={
        HTTPStatus.OK: {"content": {CSV_MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "The failed items"}
    },
)
def download_failed_items(
    batch_id: BatchId, caller: CurrentCaller, services: ServicesDep, query: Annotated[FailedItemsQuery, Query()]
) -> Response:
    name = f"failed-{batch_id}.csv"
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    content = services.batches.download_failed_csv(caller, batch_id, query.locale)
    return Response(content, media_type=CSV_MEDIA_TYPE, headers=headers)


@router.put(
    "/{batch_id:uuid}",
    operation_id="edit_bulk_registration",
    summary="Edit a bulk registration",
    description="Rename or cancel a batch. Operators may cancel it only.",
    dependencies=[require(Permission.CANCEL_AND_RETRY, lambda services, *args: services.batches.find(*args))],
    openapi_extra=raises(InvalidStateError),
)
async def edit_bulk_registration(
    batch_id: BatchId,
    body: BulkEdit,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    language: RequestLanguage,
    if_match: IfMatchHeader = None,
) -> BatchResource:
    batch = await run_in_threadpool(services.batch_commands.edit, caller, batch_id, body, parse_if_match(if_match))
    if batch.status is BulkStatus.CANCELLING:
        services.dispatcher.cancel(batch.job)
    return await respond(partial(load_view, services, caller, batch_id, language), response)


@router.post(
    "/{batch_id:uuid}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_bulk_registration",
    summary="Cancel a bulk registration",
    description="Request cancellation: no further items are registered. Activities that are registered stay.",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel_bulk_registration(
    batch_id: BatchId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    wait: PreferredWait,
    language: RequestLanguage,
) -> BatchResource:
    batch = await run_in_threadpool(services.batch_commands.cancel, caller, batch_id)
    services.dispatcher.cancel(batch.job)
    return await respond_or_wait(partial(load_view, services, caller, batch_id, language), services, response, wait)


@router.post(
    "/{batch_id:uuid}/retry",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="retry_bulk_registration",
    summary="Retry a bulk registration",
    description=(
        "Start a new attempt at the failed and cancelled items of a finished batch, as they are. It can register an "
        "item whose peer mentor has become active or whose overlapping activity has been deleted since; any other "
        "item has to be corrected. `retried` has the counts of these items."
    ),
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError, AlreadyCorrectedError),
)
async def retry_bulk_registration(
    batch_id: BatchId,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
    wait: PreferredWait,
    language: RequestLanguage,
    idempotency_key: IdempotencyKeyHeader = None,
) -> BatchResource:
    batch, is_new = await run_in_threadpool(services.batch_commands.retry, caller, batch_id, idempotency_key)
    response.headers["Location"] = request.scope["path"].removesuffix("/retry")
    if is_new:
        services.dispatcher.start(batch.job)
    return await respond_or_wait(partial(load_view, services, caller, batch_id, language), services, response, wait)


@router.delete(
    "/{batch_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="delete_bulk_registration",
    summary="Delete a bulk registration",
    description="Delete a finished batch and its items. The registered activities and the audit events are retained.",
    dependencies=[require(Permission.ADMINISTER)],
    openapi_extra=raises(InvalidStateError),
)
def delete_bulk_registration(batch_id: BatchId, caller: CurrentCaller, services: ServicesDep) -> None:
    services.batch_commands.delete(caller, batch_id)


def load_view(services: Services, caller: Caller, batch_id: UUID, language: Locale = "en") -> JobView[BatchResource]:
    return _build_view(caller, services.batches.find(caller, batch_id, locale=language))


def _build_view(caller: Caller, details: BatchDetails) -> JobView[BatchResource]:
    batch = details.batch
    return JobView(
        job_id=batch.id,
        org_id=batch.org_id,
        is_finished=batch.status.is_final,
        etag=format_etag(batch.edits, batch.changes, None),
        updated_at=batch.updated_at,
        build_body=partial(BatchResource.from_details, details, caller),
        progress=batch.counts.model_dump(),
    )
