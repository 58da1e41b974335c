"""``/report-reexports``: past reports, made again."""

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
from api.paging import split_page
from api.schemas.reexports import ReexportListQuery, ReexportPage, ReexportResource, ReexportSummary
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
    dependencies=[require(Permission.START_JOBS)],
    openapi_extra=raises(NotFoundError, NotFinishedError, ReexportInProgressError, SnapshotGoneError),
)
async def start_reexport(
    body: ReexportRequest,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    request: Request,
    wait: PreferredWait,
    idempotency_key: IdempotencyKeyHeader = None,
) -> ReexportResource:
    """Have a report made again. One runs at a time for each report; the same wish meanwhile is the one that runs."""
    accepted = await run_in_threadpool(services.reexports.accept, caller, body, idempotency_key)
    if accepted.is_new:
        services.dispatcher.start(accepted.reexport.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.reexport.id}"
    return await respond_when_finished(
        partial(_load_view, services, caller, accepted.reexport.id), services, response, wait
    )


@router.get("/{reexport_id:uuid}", operation_id="get_reexport", dependencies=[require(Permission.VIEW_JOBS)])
async def get_reexport(
    reexport_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> ReexportResource | None:
    """One re-export, whatever became of it."""
    return await respond_if_changed(partial(_load_view, services, caller, reexport_id), response, if_none_match)


@router.get(
    "/{reexport_id:uuid}/events",
    operation_id="watch_reexport",
    dependencies=[require(Permission.VIEW_JOBS)],
    response_class=StreamingResponse,
    responses=EVENTS_DOCUMENTED,
)
async def watch_reexport(
    reexport_id: UUID, caller: CurrentCaller, services: ServicesDep, request: Request, last_event_id: LastEventId
) -> Response:
    """Every step of a re-export as it happens."""
    return await stream_job_events(
        partial(_load_view, services, caller, reexport_id), services, request.state.token, last_event_id
    )


@router.put(
    "/{reexport_id:uuid}",
    operation_id="edit_reexport",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def edit_reexport(
    reexport_id: UUID,
    body: ReexportEdit,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_match: IfMatchHeader = None,
) -> ReexportResource:
    """Write something down on a re-export, while it runs or afterwards; a run that is on is told that it was edited."""
    row = await run_in_threadpool(services.reexport_commands.edit, caller, reexport_id, body, parse_if_match(if_match))
    if row.run_id is not None and not row.status.is_final:
        run = WorkflowRun(row.job.workflow_id, row.run_id)
        services.dispatcher.send_edit(
            run, ReexportUpdateInput(edits=row.edits, notification_sent=body.notification_sent)
        )
    return await respond(partial(_load_view, services, caller, reexport_id), response)


@router.delete(
    "/{reexport_id:uuid}",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_reexport",
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel_reexport(
    reexport_id: UUID, caller: CurrentCaller, services: ServicesDep, response: Response, wait: PreferredWait
) -> ReexportResource:
    """Stop a re-export and its export, and leave nothing of them in storage; the history is as it was."""
    row = await run_in_threadpool(services.reexport_commands.cancel, caller, reexport_id)
    services.dispatcher.cancel(row.job)
    return await respond_when_finished(partial(_load_view, services, caller, reexport_id), services, response, wait)


@router.get("", operation_id="list_reexports", dependencies=[require(Permission.VIEW_JOBS)])
def list_reexports(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[ReexportListQuery, Query()]
) -> ReexportPage:
    """The re-exports the caller may see, newest first."""
    found = services.reexports.list(caller, ReexportFilter(**query.filter_args))
    shown, token = split_page(found, query.page_size, lambda one: (one.reexport.created_at, one.reexport.id))
    return ReexportPage(items=tuple(ReexportSummary.from_details(one, caller) for one in shown), next_page_token=token)


def _load_view(services: Services, caller: Caller, reexport_id: UUID) -> JobView[ReexportResource]:
    found = services.reexports.find(caller, reexport_id)
    row, export = found.reexport, found.downloadable_export
    link = services.downloads.get_link(caller, export, services.clock()) if export else None
    return JobView(
        job_id=row.id,
        org_id=row.org_id,
        is_finished=row.status.is_final,
        etag=format_etag(row.edits, found.changes, link.expires_at if link else None),
        build_body=partial(_issue_link_and_build, services, caller, found, link),
        has_link=link is not None,
        progress=found.progress,
    )


def _issue_link_and_build(
    services: Services, caller: Caller, details: ReexportDetails, link: DownloadLink | None
) -> ReexportResource:
    """A link that nobody could write down is not handed out."""
    if link and details.downloadable_export:
        services.downloads.record_link_issued(caller, details.downloadable_export, link)
    return ReexportResource.from_details_and_link(details, caller, link)
