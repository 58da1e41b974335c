"""``/report-reexports``: start, follow, edit and cancel re-exports of past reports."""

from functools import partial
from http import HTTPStatus
from typing import Annotated
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
from api.openapi import raises
from api.polls import answer_polls
from api.schemas.reexports import ReexportPage, ReexportResource, ReexportSummary
from stafett.domain.errors import (
    InvalidStateError,
    NotFinishedError,
    NotFoundError,
    ReexportInProgressError,
    SnapshotGoneError,
)
from stafett.domain.job import JobKind
from stafett.domain.membership import Caller, Permission
from stafett.domain.reexport import ReexportEdit, ReexportRequest
from stafett.domain.reexport_job import ReexportUpdateInput
from stafett.exports.downloads import DownloadLink
from stafett.reports.reexports import ReexportDetails, ReexportFilter
from stafett.temporal.client import WorkflowRun

router = APIRouter(prefix="/report-reexports", tags=["Report re-exports"], route_class=GuardedRoute)
ReexportId = Annotated[UUID, Path(description="Id of the re-export.")]


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="start_reexport",
    summary="Start a re-export",
    description=(
        "Export a past report again, from current data or from the snapshot of an earlier version. Only one "
        "re-export per report runs at a time; an identical request returns the running one."
    ),
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
    accepted = await run_in_threadpool(services.reexports.accept, caller, body, idempotency_key)
    load = partial(load_view, services, caller, accepted.reexport.id)
    if accepted.is_new:
        services.dispatcher.start(accepted.reexport.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.reexport.id}"
    return await respond_or_wait(load, services, response, wait, _build_view(services, caller, accepted))


@router.get(
    "/{reexport_id:uuid}",
    operation_id="get_reexport",
    summary="Get a re-export",
    description=(
        "Get a re-export with its status and download link. A failed re-export is returned with `200` and its "
        "`error`. `Retry-After` is present until it has finished."
    ),
    dependencies=[require(Permission.VIEW_JOBS), answer_polls(JobKind.REPORT_REEXPORT)],
)
async def get_reexport(
    reexport_id: ReexportId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> ReexportResource | None:
    return await respond_if_changed(partial(load_view, services, caller, reexport_id), response, if_none_match)


@router.get(
    "/{reexport_id:uuid}/events",
    operation_id="watch_reexport",
    summary="Stream a re-export's events",
    description="Stream status transitions and progress as server-sent events until the re-export has finished.",
    dependencies=[require(Permission.VIEW_JOBS), limit_concurrency(OccupyingUse.EVENT_STREAMS)],
    response_class=StreamingResponse,
    responses=EVENT_STREAM_RESPONSES,
)
async def watch_reexport(
    reexport_id: ReexportId, caller: CurrentCaller, services: ServicesDep, request: Request, last_event_id: LastEventId
) -> Response:
    return await stream_job_events(
        partial(load_view, services, caller, reexport_id), services, request.state.token, last_event_id
    )


@router.put(
    "/{reexport_id:uuid}",
    operation_id="edit_reexport",
    summary="Edit a re-export",
    description=(
        "Edit the label, the notification status or, as an administrator, the result file of a re-export, during "
        "the run or afterwards. Omitted fields stay unchanged."
    ),
    dependencies=[require(Permission.START_JOBS, lambda services, *args: services.reexports.find(*args))],
    openapi_extra=raises(InvalidStateError),
)
async def edit_reexport(
    reexport_id: ReexportId,
    body: ReexportEdit,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_match: IfMatchHeader = None,
) -> ReexportResource:
    row = await run_in_threadpool(services.reexport_commands.edit, caller, reexport_id, body, parse_if_match(if_match))
    if row.run_id is not None and not row.status.is_final:
        run = WorkflowRun(row.job.workflow_id, row.run_id)
        services.dispatcher.send_edit(
            run, ReexportUpdateInput(edits=row.edits, notification_sent=body.notification_sent)
        )
    return await respond(partial(load_view, services, caller, reexport_id), response)


@router.delete(
    "/{reexport_id:uuid}",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_reexport",
    summary="Cancel a re-export",
    description=(
        "Cancel a re-export and its child export, and remove their files from storage. The report history stays "
        "unchanged. Once the result is in the history, the re-export cannot be cancelled."
    ),
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel_reexport(
    reexport_id: ReexportId, caller: CurrentCaller, services: ServicesDep, response: Response, wait: PreferredWait
) -> ReexportResource:
    row = await run_in_threadpool(services.reexport_commands.cancel, caller, reexport_id)
    services.dispatcher.cancel(row.job)
    return await respond_or_wait(partial(load_view, services, caller, reexport_id), services, response, wait)


@router.get(
    "",
    operation_id="list_reexports",
    summary="List re-exports",
    description="List the re-exports that the caller may see, newest first.",
    dependencies=[require(Permission.VIEW_JOBS), limit_large_lists()],
)
def list_reexports(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[ReexportFilter, Query()]
) -> ReexportPage:
    reexports, token = services.reexports.list(caller, query)
    items = tuple(ReexportSummary.from_details(details, caller) for details in reexports)
    return ReexportPage(items=items, next_page_token=token)


def load_view(services: Services, caller: Caller, reexport_id: UUID) -> JobView[ReexportResource]:
    return _build_view(services, caller, services.reexports.find(caller, reexport_id))


def _build_view(services: Services, caller: Caller, details: ReexportDetails) -> JobView[ReexportResource]:
    row, export = details.reexport, details.downloadable_export
    link = services.downloads.get_link(caller, export, services.clock(), row.file_version) if export else None
    return JobView(
        job_id=row.id,
        org_id=row.org_id,
        is_finished=row.status.is_final,
        etag=format_etag(row.edits, details.changes, link.expires_at if link else None),
        updated_at=max(each.updated_at for each in (row, details.export) if each),
        build_body=partial(_issue_link_and_build, services, caller, details, link),
        has_link=link is not None,
        progress=details.progress,
    )


def _issue_link_and_build(
    services: Services, caller: Caller, details: ReexportDetails, link: DownloadLink | None
) -> ReexportResource:
    """Record that the link is issued before it is returned: without its audit event there is no link."""
    if link and details.downloadable_export:
        services.downloads.record_link_issued(caller, details.downloadable_export, link)
    return ReexportResource.from_details_and_link(details, caller, link)
