"""``/bufdir-exports``: each handler parses, asks one thing, answers."""

from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, StreamingResponse

from api.dependencies import CallerOf, Given, GuardedRoute, Services, allowed
from api.etags import entity_tag
from api.headers import IdempotencyKey, IfNoneMatch, LastSeen, PreferredWait
from api.job_events import DOCUMENTED as EVENTS_DOCUMENTED
from api.job_events import job_events
from api.job_responses import JobView, answered_unless_known, answered_when_over
from api.openapi import raises
from api.paging import page_of, seq_of, token_after_seq
from api.previews import await_preview
from api.schemas.exports import (
    AuditEventResource,
    ExportListed,
    ExportPage,
    ExportQuery,
    ExportResource,
    ExportStart,
    TrailPage,
    TrailQuery,
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
    "", status_code=HTTPStatus.ACCEPTED, operation_id="start_export", dependencies=[allowed(Permission.START_JOBS)]
)
async def start(
    body: ExportStart,
    caller: CallerOf,
    given: Given,
    response: Response,
    request: Request,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> ExportResource:
    """Start an export. It is accepted once PostgreSQL has it, whatever else is away."""
    accepted = await run_in_threadpool(given.jobs.accept, caller, body.request(caller), idempotency_key)
    if accepted.is_new:
        given.starter.start(accepted.export.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.export.id}"
    return await answered_when_over(partial(_seen, given, caller, accepted.export.id), given, response, wait)


@router.post(
    "/preview",
    operation_id="preview_export",
    dependencies=[allowed(Permission.START_JOBS)],
    openapi_extra=raises(ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, ExportErrorCode.QUERY_FAILED),
)
async def preview(body: ExportStart, caller: CallerOf, given: Given, response: Response) -> Preview:
    """What an export would be: counts, what does not count and why, what would be rejected, and the first rows."""
    request = body.request(caller)
    authorise_start(caller, request)
    asked = PreviewJob(preview_id=uuid4(), request=request)
    await await_preview(given.temporal, given.task_queue, asked)
    response.headers["Cache-Control"] = "no-store"
    return await run_in_threadpool(take_preview, given.database, caller, asked)


@router.get("/{export_id:uuid}", operation_id="get_export", dependencies=[allowed(Permission.VIEW_JOBS)])
async def get(
    export_id: UUID,
    caller: CallerOf,
    given: Given,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> ExportResource | None:
    """One export, whatever became of it."""
    return await answered_unless_known(partial(_seen, given, caller, export_id), response, if_none_match)


@router.get(
    "/{export_id:uuid}/events",
    operation_id="watch_export",
    dependencies=[allowed(Permission.VIEW_JOBS)],
    response_class=StreamingResponse,
    responses=EVENTS_DOCUMENTED,
)
async def events(
    export_id: UUID,
    caller: CallerOf,
    given: Given,
    request: Request,
    last: LastSeen,
) -> Response:
    """Every step of an export as it happens, and how far it has come."""
    return await job_events(partial(_seen, given, caller, export_id), given, request.state.bearer, last)


@router.get(
    "/{export_id:uuid}/file",
    operation_id="download_export",
    dependencies=[allowed(Permission.DOWNLOAD_FILES)],
    openapi_extra=raises(NotFinishedError, NoFileError, FileRemovedError),
    status_code=HTTPStatus.SEE_OTHER,
    response_class=RedirectResponse,
)
def download(export_id: UUID, caller: CallerOf, given: Given) -> RedirectResponse:
    """Go to the file of a finished export; each time is an event of its audit trail."""
    url = given.downloads.get_download_url(caller, export_id, given.clock())
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})


@router.get(
    "/{export_id:uuid}/audit", operation_id="get_export_audit", dependencies=[allowed(Permission.READ_AUDIT_TRAIL)]
)
def audit(export_id: UUID, caller: CallerOf, given: Given, wanted: Annotated[TrailQuery, Query()]) -> TrailPage:
    """What happened to an export, oldest first: each event with its place in the organisation's chain."""
    after = seq_of(wanted.page_token) if wanted.page_token else 0
    found = given.trail.list_events(caller, export_id, after_seq=after, page_size=wanted.page_size)
    shown, more = found[: wanted.page_size], len(found) > wanted.page_size
    return TrailPage(
        items=tuple(AuditEventResource.of(event) for event in shown),
        next_page_token=token_after_seq(shown[-1].seq) if more else None,
    )


@router.put(
    "/{export_id:uuid}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_export",
    dependencies=[allowed(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel(
    export_id: UUID, caller: CallerOf, given: Given, response: Response, wait: PreferredWait
) -> ExportResource:
    """Stop an export, and leave nothing of it in storage."""
    export = await run_in_threadpool(given.control.cancel, caller, export_id)
    given.starter.stop(export.job)
    return await answered_when_over(partial(_seen, given, caller, export_id), given, response, wait)


@router.post(
    "/{export_id:uuid}/retry",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="retry_export",
    dependencies=[allowed(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def retry(
    export_id: UUID,
    caller: CallerOf,
    given: Given,
    request: Request,
    response: Response,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> ExportResource:
    """Try a failed or cancelled export again: finished stages of a failed one stand, a cancelled one starts anew."""
    export, is_new = await run_in_threadpool(given.control.retry, caller, export_id, idempotency_key)
    response.headers["Location"] = request.scope["path"].removesuffix("/retry")
    if is_new:
        given.starter.start(export.job)
    return await answered_when_over(partial(_seen, given, caller, export_id), given, response, wait)


@router.delete(
    "/{export_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="delete_export",
    dependencies=[allowed(Permission.ADMINISTER)],
    openapi_extra=raises(InvalidStateError),
)
def delete(export_id: UUID, caller: CallerOf, given: Given) -> None:
    """Delete an ended export: its files leave storage, its trail and its entry in the history stay."""
    export = given.control.delete(caller, export_id)
    with suppress(ServiceUnavailableError):  # deleted it is; what is left in storage retention removes
        given.removal.remove(export.job)


@router.get("", operation_id="list_exports", dependencies=[allowed(Permission.VIEW_JOBS)])
def list_exports(caller: CallerOf, given: Given, wanted: Annotated[ExportQuery, Query()]) -> ExportPage:
    """The exports the caller may see, newest first."""
    found = given.jobs.list(caller, ExportFilter(**wanted.wanted))
    shown, token = page_of(found, wanted.page_size, lambda export: (export.created_at, export.id))
    return ExportPage(items=tuple(map(ExportListed.of, shown)), next_page_token=token)


def _seen(given: Services, caller: Caller, export_id: UUID) -> JobView[ExportResource]:
    found = given.jobs.find(caller, export_id)
    export, link = found.export, given.downloads.get_link(caller, found.export, given.clock())
    return JobView(
        job_id=export.id,
        org_id=export.org_id,
        is_over=export.status.is_final,
        etag=entity_tag(export.edits, export.changes, link.expires_at if link else None),
        make_body=partial(_handed_out, given, caller, found, link),
        holds_link=link is not None,
        progress=export.progress,
    )


def _handed_out(given: Services, caller: Caller, found: ExportDetails, link: DownloadLink | None) -> ExportResource:
    """A link that nobody could write down is not handed out."""
    if link:
        given.downloads.record_link_issued(caller, found.export, link)
    return ExportResource.whole(found, link)
