"""``/bufdir-exports``: each handler parses, asks one thing, answers."""

from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, StreamingResponse

from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import format_etag
from api.headers import IdempotencyKeyHeader, IfNoneMatchHeader, LastEventId, PreferredWait
from api.job_events import EVENT_STREAM_RESPONSES as EVENTS_DOCUMENTED
from api.job_events import stream_job_events
from api.job_responses import JobView, respond_if_changed, respond_when_finished
from api.openapi import raises
from api.paging import decode_seq_cursor, encode_seq_cursor, split_page
from api.previews import await_preview
from api.schemas.exports import (
    AuditEventListQuery,
    AuditEventPage,
    AuditEventResource,
    ExportCreate,
    ExportListQuery,
    ExportPage,
    ExportResource,
    ExportSummary,
)
from stafett.domain.errors import (
    FileRemovedError,
    InvalidStateError,
    NoFileError,
    NotFinishedError,
    ServiceUnavailableError,
)
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller, Permission
from stafett.exports.downloads import DownloadLink
from stafett.exports.preview import take_preview
from stafett.exports.service import ExportDetails, ExportFilter, authorise_start

router = APIRouter(prefix="/bufdir-exports", tags=["Bufdir exports"], route_class=GuardedRoute)


@router.post(
    "", status_code=HTTPStatus.ACCEPTED, operation_id="start_export", dependencies=[require(Permission.START_JOBS)]
)
async def start_export(
    body: ExportCreate,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    request: Request,
    wait: PreferredWait,
    idempotency_key: IdempotencyKeyHeader = None,
) -> ExportResource:
    """Start an export. It is accepted once PostgreSQL has it, whatever else is away."""
    accepted = await run_in_threadpool(services.exports.accept, caller, body.to_request(caller), idempotency_key)
    if accepted.is_new:
        services.dispatcher.start(accepted.export.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.export.id}"
    return await respond_when_finished(
        partial(_load_view, services, caller, accepted.export.id), services, response, wait
    )


@router.post(
    "/preview",
    operation_id="preview_export",
    dependencies=[require(Permission.START_JOBS)],
    openapi_extra=raises(ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, ExportErrorCode.QUERY_FAILED),
)
async def preview_export(
    body: ExportCreate, caller: CurrentCaller, services: ServicesDep, response: Response
) -> Preview:
    """What an export would be: counts, what does not count and why, what would be rejected, and the first rows."""
    request = body.to_request(caller)
    authorise_start(caller, request)
    asked = PreviewJob(preview_id=uuid4(), request=request)
    await await_preview(services.temporal, services.task_queue, asked)
    response.headers["Cache-Control"] = "no-store"
    return await run_in_threadpool(take_preview, services.database, caller, asked)


@router.get("/{export_id:uuid}", operation_id="get_export", dependencies=[require(Permission.VIEW_JOBS)])
async def get_export(
    export_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> ExportResource | None:
    """One export, whatever became of it."""
    return await respond_if_changed(partial(_load_view, services, caller, export_id), response, if_none_match)


@router.get(
    "/{export_id:uuid}/events",
    operation_id="watch_export",
    dependencies=[require(Permission.VIEW_JOBS)],
    response_class=StreamingResponse,
    responses=EVENTS_DOCUMENTED,
)
async def watch_export(
    export_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    last_event_id: LastEventId,
) -> Response:
    """Every step of an export as it happens, and how far it has come."""
    return await stream_job_events(
        partial(_load_view, services, caller, export_id), services, request.state.token, last_event_id
    )


@router.get(
    "/{export_id:uuid}/file",
    operation_id="download_export",
    dependencies=[require(Permission.DOWNLOAD_FILES)],
    openapi_extra=raises(NotFinishedError, NoFileError, FileRemovedError),
    status_code=HTTPStatus.SEE_OTHER,
    response_class=RedirectResponse,
)
def download_export(export_id: UUID, caller: CurrentCaller, services: ServicesDep) -> RedirectResponse:
    """Go to the file of a finished export; each time is an event of its audit trail."""
    url = services.downloads.get_download_url(caller, export_id, services.clock())
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})


@router.get(
    "/{export_id:uuid}/audit", operation_id="get_export_audit", dependencies=[require(Permission.READ_AUDIT_TRAIL)]
)
def get_export_audit(
    export_id: UUID, caller: CurrentCaller, services: ServicesDep, query: Annotated[AuditEventListQuery, Query()]
) -> AuditEventPage:
    """What happened to an export, oldest first: each event with its place in the organisation's chain."""
    after = decode_seq_cursor(query.page_token) if query.page_token else 0
    found = services.export_audit_trail.list_events(caller, export_id, after_seq=after, page_size=query.page_size)
    shown, more = found[: query.page_size], len(found) > query.page_size
    return AuditEventPage(
        items=tuple(AuditEventResource.from_row(event) for event in shown),
        next_page_token=encode_seq_cursor(shown[-1].seq) if more else None,
    )


@router.put(
    "/{export_id:uuid}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_export",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel_export(
    export_id: UUID, caller: CurrentCaller, services: ServicesDep, response: Response, wait: PreferredWait
) -> ExportResource:
    """Stop an export, and leave nothing of it in storage."""
    export = await run_in_threadpool(services.export_commands.cancel, caller, export_id)
    services.dispatcher.cancel(export.job)
    return await respond_when_finished(partial(_load_view, services, caller, export_id), services, response, wait)


@router.post(
    "/{export_id:uuid}/retry",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="retry_export",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def retry_export(
    export_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
    wait: PreferredWait,
    idempotency_key: IdempotencyKeyHeader = None,
) -> ExportResource:
    """Try a failed or cancelled export again: finished stages of a failed one stand, a cancelled one starts anew."""
    export, is_new = await run_in_threadpool(services.export_commands.retry, caller, export_id, idempotency_key)
    response.headers["Location"] = request.scope["path"].removesuffix("/retry")
    if is_new:
        services.dispatcher.start(export.job)
    return await respond_when_finished(partial(_load_view, services, caller, export_id), services, response, wait)


@router.delete(
    "/{export_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="delete_export",
    dependencies=[require(Permission.ADMINISTER)],
    openapi_extra=raises(InvalidStateError),
)
def delete_export(export_id: UUID, caller: CurrentCaller, services: ServicesDep) -> None:
    """Delete an ended export: its files leave storage, its trail and its entry in the history stay."""
    export = services.export_commands.delete(caller, export_id)
    with suppress(ServiceUnavailableError):  # deleted it is; what is left in storage retention removes
        services.file_removal.remove(export.job)


@router.get("", operation_id="list_exports", dependencies=[require(Permission.VIEW_JOBS)])
def list_exports(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[ExportListQuery, Query()]
) -> ExportPage:
    """The exports the caller may see, newest first."""
    found = services.exports.list(caller, ExportFilter(**query.filter_args))
    shown, token = split_page(found, query.page_size, lambda export: (export.created_at, export.id))
    return ExportPage(items=tuple(map(ExportSummary.from_row, shown)), next_page_token=token)


def _load_view(services: Services, caller: Caller, export_id: UUID) -> JobView[ExportResource]:
    found = services.exports.find(caller, export_id)
    export, link = found.export, services.downloads.get_link(caller, found.export, services.clock())
    return JobView(
        job_id=export.id,
        org_id=export.org_id,
        is_finished=export.status.is_final,
        etag=format_etag(export.edits, export.changes, link.expires_at if link else None),
        build_body=partial(_issue_link_and_build, services, caller, found, link),
        has_link=link is not None,
        progress=export.progress,
    )


def _issue_link_and_build(
    services: Services, caller: Caller, details: ExportDetails, link: DownloadLink | None
) -> ExportResource:
    """A link that nobody could write down is not handed out."""
    if link:
        services.downloads.record_link_issued(caller, details.export, link)
    return ExportResource.from_details(details, link)
