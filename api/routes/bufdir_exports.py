"""``/bufdir-exports``: start, follow, cancel, retry and download exports."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from api.concurrency import OccupyingUse, limit_concurrency, limit_large_lists, run_in_threadpool
from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import format_etag
from api.headers import IdempotencyKeyHeader, IfNoneMatchHeader, LastEventId, PreferredWait
from api.job_events import EVENT_STREAM_RESPONSES, stream_job_events
from api.job_responses import respond_if_changed, respond_or_wait
from api.job_views import JobView
from api.openapi import raises
from api.polls import answer_polls
from api.previews import build_preview
from api.schemas.exports import (
    AuditEventPage,
    AuditEventResource,
    ExportCreate,
    ExportPage,
    ExportResource,
    ExportSummary,
    PreviewCreate,
)
from stafett.column_mapper import InvalidMappingError, MappingDocument, validate_document
from stafett.domain.errors import (
    FileRemovedError,
    HandedInError,
    InvalidStateError,
    NoFileError,
    NotFinishedError,
    ServiceUnavailableError,
)
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.job import JobKind
from stafett.domain.membership import Caller, Permission
from stafett.exports.downloads import DownloadLink
from stafett.exports.handed_in import RemovalConfirmation
from stafett.exports.service import AuditEventFilter, ExportDetails, ExportFilter, authorise_start
from stafett.people.access import authorise_addition

router = APIRouter(prefix="/bufdir-exports", tags=["Bufdir exports"], route_class=GuardedRoute)
ExportId = Annotated[UUID, Path(description="Id of the export.")]


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="start_export",
    summary="Start an export",
    description=(
        "Start an export of an organisation's activities in a reporting period. The export is accepted once it is "
        "stored; it starts later if Temporal or the workers are unavailable."
    ),
    dependencies=[require(Permission.START_JOBS)],
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
    accepted = await run_in_threadpool(services.exports.accept, caller, body.to_request(caller), idempotency_key)
    load = partial(load_view, services, caller, accepted.export.id)
    view = _build_view(services, caller, accepted)
    if accepted.is_new:
        services.dispatcher.start(accepted.export.job)
    response.headers["Location"] = f"{request.scope['path']}/{accepted.export.id}"
    return await respond_or_wait(load, services, response, wait, view)


@router.post(
    "/preview",
    operation_id="preview_export",
    summary="Preview an export",
    description=(
        "Compute counts, warnings, partial failures and the first rows that an export with this body would have. "
        "Nothing is stored but an audit event. A worker must be available. An administrator can send a mapping "
        "document that is not published."
    ),
    dependencies=[require(Permission.START_JOBS), limit_concurrency(OccupyingUse.PREVIEWS)],
    openapi_extra=raises(ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, ExportErrorCode.QUERY_FAILED, InvalidMappingError),
)
async def preview_export(
    body: PreviewCreate, caller: CurrentCaller, services: ServicesDep, response: Response
) -> Preview:
    request = body.to_request(caller)
    authorise_start(caller, request)
    draft, has_draft = None, body.mapping is not None
    job = PreviewJob(preview_id=uuid4(), request=request, api_key_id=caller.api_key_id, has_draft=has_draft)
    if body.mapping is not None:
        authorise_addition(caller, request.org_id)
        draft = await run_in_threadpool(_validate_draft, body.mapping)
    response.headers["Cache-Control"] = "no-store"
    return await build_preview(services, caller, job, draft)


@router.get(
    "/{export_id:uuid}",
    operation_id="get_export",
    summary="Get an export",
    description=(
        "Get an export with its status, counts and download link. A failed export is returned with `200` and its "
        "`error`. `Retry-After` is present until the export has finished."
    ),
    dependencies=[require(Permission.VIEW_JOBS), answer_polls(JobKind.BUFDIR_EXPORT)],
)
async def get_export(
    export_id: ExportId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> ExportResource | None:
    return await respond_if_changed(partial(load_view, services, caller, export_id), response, if_none_match)


@router.get(
    "/{export_id:uuid}/events",
    operation_id="watch_export",
    summary="Stream an export's events",
    description="Stream status transitions and progress as server-sent events until the export has finished.",
    dependencies=[require(Permission.VIEW_JOBS), limit_concurrency(OccupyingUse.EVENT_STREAMS)],
    response_class=StreamingResponse,
    responses=EVENT_STREAM_RESPONSES,
)
async def watch_export(
    export_id: ExportId,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    last_event_id: LastEventId,
) -> Response:
    return await stream_job_events(
        partial(load_view, services, caller, export_id), services, request.state.token, last_event_id
    )


@router.get(
    "/{export_id:uuid}/file",
    operation_id="download_export",
    summary="Download an export's file",
    description=(
        "Redirect to a signed URL of the file of a completed export. Each request is recorded in the audit trail. "
        "Send no token to the URL."
    ),
    dependencies=[require(Permission.DOWNLOAD_FILES)],
    openapi_extra=raises(NotFinishedError, NoFileError, FileRemovedError),
    status_code=HTTPStatus.SEE_OTHER,
    response_class=RedirectResponse,
)
def download_export(export_id: ExportId, caller: CurrentCaller, services: ServicesDep) -> RedirectResponse:
    url = services.downloads.get_download_url(caller, export_id, services.clock())
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})


@router.get(
    "/{export_id:uuid}/deviations.csv",
    operation_id="download_deviations",
    summary="Download an export's deviations",
    description=(
        "Download the activities that were rejected, do not count or have a warning as CSV, one line each in report "
        "order: where the activity is in the report, what is wrong and how to correct it. Each request is recorded in "
        "the audit trail."
    ),
    dependencies=[require(Permission.DOWNLOAD_FILES), limit_concurrency(OccupyingUse.LARGE_LISTS)],
    openapi_extra=raises(NotFinishedError, NoFileError, FileRemovedError),
    response_class=StreamingResponse,
    responses={
        HTTPStatus.OK: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The deviations"}
    },
)
def download_deviations(export_id: ExportId, caller: CurrentCaller, services: ServicesDep) -> StreamingResponse:
    return respond_with_deviations(services, caller, export_id, {"Cache-Control": "no-store"})


@router.get(
    "/{export_id:uuid}/audit",
    operation_id="get_export_audit",
    summary="List an export's audit events",
    description="List the audit events of an export, oldest first, with their positions in the organisation's chain.",
    dependencies=[require(Permission.READ_AUDIT_EVENTS), limit_large_lists()],
)
def get_export_audit(
    export_id: ExportId, caller: CurrentCaller, services: ServicesDep, query: Annotated[AuditEventFilter, Query()]
) -> AuditEventPage:
    events, token = services.export_audit_trail.list_events(caller, export_id, query)
    return AuditEventPage(items=tuple(map(AuditEventResource.from_row, events)), next_page_token=token)


@router.put(
    "/{export_id:uuid}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="cancel_export",
    summary="Cancel an export",
    description=(
        "Request the cancellation of a running export. Its files are removed from storage. Repeating the request "
        "while the export is `cancelling` has no effect."
    ),
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def cancel_export(
    export_id: ExportId, caller: CurrentCaller, services: ServicesDep, response: Response, wait: PreferredWait
) -> ExportResource:
    export = await run_in_threadpool(services.export_commands.cancel, caller, export_id)
    services.dispatcher.cancel(export.job)
    return await respond_or_wait(partial(load_view, services, caller, export_id), services, response, wait)


@router.post(
    "/{export_id:uuid}/retry",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="retry_export",
    summary="Retry an export",
    description=(
        "Start a new attempt at a failed or cancelled export. A failed export resumes after its last finished stage; "
        "a cancelled one starts over."
    ),
    dependencies=[require(Permission.CANCEL_AND_RETRY)],
    openapi_extra=raises(InvalidStateError),
)
async def retry_export(
    export_id: ExportId,
    caller: CurrentCaller,
    services: ServicesDep,
    request: Request,
    response: Response,
    wait: PreferredWait,
    idempotency_key: IdempotencyKeyHeader = None,
) -> ExportResource:
    export, is_new = await run_in_threadpool(services.export_commands.retry, caller, export_id, idempotency_key)
    response.headers["Location"] = request.scope["path"].removesuffix("/retry")
    if is_new:
        services.dispatcher.start(export.job)
    return await respond_or_wait(partial(load_view, services, caller, export_id), services, response, wait)


@router.delete(
    "/{export_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="delete_export",
    summary="Delete an export",
    description=(
        "Delete a finished export and remove its files from storage. Its audit events and its entry in the report "
        "history are retained, with the name, size and hashes of the file. A version that was handed in to Bufdir is "
        "deleted only with `confirm=handed_in`."
    ),
    dependencies=[require(Permission.ADMINISTER)],
    openapi_extra=raises(InvalidStateError, HandedInError),
)
def delete_export(
    export_id: ExportId,
    caller: CurrentCaller,
    services: ServicesDep,
    confirm: Annotated[
        RemovalConfirmation | None, Query(description="Confirms the deletion of a file that was handed in.")
    ] = None,
) -> None:
    export = services.export_commands.delete(caller, export_id, confirm)
    with suppress(ServiceUnavailableError):  # the deletion is committed; retention removes remaining files
        services.file_removal.remove(export.job)


@router.get(
    "",
    operation_id="list_exports",
    summary="List exports",
    description="List the exports that the caller may see, newest first.",
    dependencies=[require(Permission.VIEW_JOBS), limit_large_lists()],
)
def list_exports(caller: CurrentCaller, services: ServicesDep, query: Annotated[ExportFilter, Query()]) -> ExportPage:
    exports, token = services.exports.list(caller, query)
    return ExportPage(items=tuple(map(ExportSummary.from_row, exports)), next_page_token=token)


def _validate_draft(mapping: dict[str, Any]) -> MappingDocument:
    """Validate a document; the pointers of its issues are those of the request's body."""
    try:
        return validate_document(mapping)
    except InvalidMappingError as error:
        issues = (issue.model_copy(update={"pointer": f"/mapping{issue.pointer}"}) for issue in error.issues)
        raise InvalidMappingError(issues) from None


def respond_with_deviations(
    services: Services, caller: Caller, export_id: UUID, headers: Mapping[str, str]
) -> StreamingResponse:
    attachment = {"Content-Disposition": f'attachment; filename="deviations-{export_id}.csv"'}
    chunks = services.deviations.open(caller, export_id)
    return StreamingResponse(chunks, media_type="text/csv", headers={**headers, **attachment})


def load_view(services: Services, caller: Caller, export_id: UUID) -> JobView[ExportResource]:
    return _build_view(services, caller, services.exports.find(caller, export_id))


def _build_view(services: Services, caller: Caller, details: ExportDetails) -> JobView[ExportResource]:
    export, link = details.export, services.downloads.get_link(caller, details.export, services.clock())
    return JobView(
        job_id=export.id,
        org_id=export.org_id,
        is_finished=export.status.is_final,
        etag=format_etag(export.edits, export.changes, link.expires_at if link else None),
        updated_at=export.updated_at,
        build_body=partial(_issue_link_and_build, services, caller, details, link),
        has_link=link is not None,
        progress=export.progress,
    )


def _issue_link_and_build(
    services: Services, caller: Caller, details: ExportDetails, link: DownloadLink | None
) -> ExportResource:
    """Record that the link is issued before it is returned: without its audit event there is no link."""
    if link:
        services.downloads.record_link_issued(caller, details.export, link)
    return ExportResource.from_details(details, link)
