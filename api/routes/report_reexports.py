"""``/report-reexports``: past reports, made again."""

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
from api.paging import page_of
from api.schemas.reexports import ReexportListed, ReexportPage, ReexportQuery, ReexportResource
from stafett.domain.errors import (
    InvalidStateError,
    NotFinishedError,
    NotFoundError,
    ReexportInProgressError,
    SnapshotGoneError,
)
from stafett.domain.membership import Caller, Permission
from stafett.domain.reexport import ReexportEdit, ReexportRequest
from stafett.domain.reexport_job import ReexportUpdateInput
from stafett.exports.downloads import DownloadLink
from stafett.reports.reexports import ReexportDetails, ReexportFilter
from stafett.temporal.client import WorkflowRun

router = APIRouter(prefix="/report-reexports", tags=["Report re-exports"], route_class=GuardedRoute)


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="start_reexport",
    dependencies=[allowed(Permission.START_JOBS)],
    openapi_extra=raises(NotFoundError, NotFinishedError, ReexportInProgressError, SnapshotGoneError),
)
async def start(
    body: ReexportRequest,
    caller: CallerOf,
    given: Given,
    response: Response,
    request: Request,
    wait: PreferredWait,
    idempotency_key: IdempotencyKey = None,
) -> ReexportResource:
    """Have a report made again. One runs at a time for each report; the same wish meanwhile is the one that runs."""
    accepted = await run_in_threadpool(given.reexports.accept, caller, body, idempotency_key)
    if accepted.is_new:
        given.starter.start(accepted.reexport.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.reexport.id}"
    return await answered_when_over(partial(_seen, given, caller, accepted.reexport.id), given, response, wait)


@router.get("/{reexport_id:uuid}", operation_id="get_reexport", dependencies=[allowed(Permission.VIEW_JOBS)])
async def get(
    reexport_id: UUID, caller: CallerOf, given: Given, response: Response, if_none_match: IfNoneMatch = None
) -> ReexportResource | None:
    """One re-export, whatever became of it."""
    return await answered_unless_known(partial(_seen, given, caller, reexport_id), response, if_none_match)


@router.get(
    "/{reexport_id:uuid}/events",
    operation_id="watch_reexport",
    dependencies=[allowed(Permission.VIEW_JOBS)],
    response_class=StreamingResponse,
    responses=EVENTS_DOCUMENTED,
)
async def events(reexport_id: UUID, caller: CallerOf, given: Given, request: Request, last: LastSeen) -> Response:
    """Every step of a re-export as it happens."""
    return await job_events(partial(_seen, given, caller, reexport_id), given, request.state.bearer, last)


@router.put(
    "/{reexport_id:uuid}",
    operation_id="edit_reexport",
    dependencies=[allowed(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def edit(
    reexport_id: UUID,
    body: ReexportEdit,
    caller: CallerOf,
    given: Given,
    response: Response,
    if_match: IfMatch = None,
) -> ReexportResource:
    """Write something down on a re-export, while it runs or afterwards; a run that is on is told that it was edited."""
    row = await run_in_threadpool(given.reexport_control.edit, caller, reexport_id, body, edits_seen(if_match))
    if row.run_id is not None and not row.status.is_final:
        run = WorkflowRun(row.job.workflow_id, row.run_id)
        given.starter.tell(run, ReexportUpdateInput(edits=row.edits, notification_sent=body.notification_sent))
    return await answered(partial(_seen, given, caller, reexport_id), response)


@router.delete(
    "/{reexport_id:uuid}",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_reexport",
    dependencies=[allowed(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel(
    reexport_id: UUID, caller: CallerOf, given: Given, response: Response, wait: PreferredWait
) -> ReexportResource:
    """Stop a re-export and its export, and leave nothing of them in storage; the history is as it was."""
    row = await run_in_threadpool(given.reexport_control.cancel, caller, reexport_id)
    given.starter.stop(row.job)
    return await answered_when_over(partial(_seen, given, caller, reexport_id), given, response, wait)


@router.get("", operation_id="list_reexports", dependencies=[allowed(Permission.VIEW_JOBS)])
def list_reexports(caller: CallerOf, given: Given, wanted: Annotated[ReexportQuery, Query()]) -> ReexportPage:
    """The re-exports the caller may see, newest first."""
    found = given.reexports.list(caller, ReexportFilter(**wanted.wanted))
    shown, token = page_of(found, wanted.page_size, lambda one: (one.reexport.created_at, one.reexport.id))
    return ReexportPage(items=tuple(ReexportListed.of(one, caller) for one in shown), next_page_token=token)


def _seen(given: Services, caller: Caller, reexport_id: UUID) -> JobView[ReexportResource]:
    found = given.reexports.find(caller, reexport_id)
    row, export = found.reexport, found.downloadable_export
    link = given.downloads.get_link(caller, export, given.clock()) if export else None
    return JobView(
        job_id=row.id,
        org_id=row.org_id,
        is_over=row.status.is_final,
        etag=entity_tag(row.edits, found.changes, link.expires_at if link else None),
        make_body=partial(_handed_out, given, caller, found, link),
        holds_link=link is not None,
        progress=found.progress,
    )


def _handed_out(given: Services, caller: Caller, found: ReexportDetails, link: DownloadLink | None) -> ReexportResource:
    """A link that nobody could write down is not handed out."""
    if link and found.downloadable_export:
        given.downloads.record_link_issued(caller, found.downloadable_export, link)
    return ReexportResource.whole(found, caller, link)
