"""``/reports``: the report history of an organisation."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from api.concurrency import OccupyingUse, limit_concurrency, limit_large_lists
from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import format_etag, is_unchanged, parse_if_match
from api.headers import IfMatchHeader, IfNoneMatchHeader
from api.openapi import raises
from api.schemas.report_changes import ChangesQuery, VersionChangesPage
from api.schemas.reports import ReportPage, ReportResource
from stafett.domain.errors import InvalidStateError, SnapshotGoneError
from stafett.domain.membership import Caller, Permission
from stafett.domain.reexport import MAX_VERSION
from stafett.reports.history import ReportDetails, ReportFilter
from stafett.reports.row_changes import RowWindow, VersionPair
from stafett.reports.submissions import ReportSubmission

router = APIRouter(prefix="/reports", tags=["Reports"], route_class=GuardedRoute)
ReportId = Annotated[UUID, Path(description="Id of the report.")]
EarlierVersion = Annotated[
    int | None,
    Query(alias="from", ge=1, le=MAX_VERSION, description="The earlier version. Default: the one before `to`."),
]
LaterVersion = Annotated[
    int | None, Query(alias="to", ge=1, le=MAX_VERSION, description="The later version. Default: the newest.")
]


@router.get(
    "",
    operation_id="list_reports",
    summary="List reports",
    description="List the reports of the caller's organisation, newest first.",
    dependencies=[require(Permission.READ_ORGANISATION), limit_large_lists()],
)
def list_reports(caller: CurrentCaller, services: ServicesDep, query: Annotated[ReportFilter, Query()]) -> ReportPage:
    reports, token = services.reports.list(caller, query)
    return ReportPage(items=tuple(map(ReportResource.from_details, reports)), next_page_token=token)


@router.get(
    "/{report_id:uuid}",
    operation_id="get_report",
    summary="Get a report",
    description="Get a report with all versions of its file.",
    dependencies=[require(Permission.READ_ORGANISATION)],
)
def get_report(
    report_id: ReportId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> ReportResource | None:
    resource = _respond(services.reports.find(caller, report_id), response)
    if is_unchanged(response.headers["ETag"], if_none_match):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return resource


@router.put(
    "/{report_id:uuid}",
    operation_id="submit_report",
    summary="Record a report's submission",
    description=(
        "Record which version was handed in to Bufdir, when, under which reference and for which grant year, or take "
        "that back. A version that was handed in is protected: its file is stored for at least five full years after "
        "the grant year, and deleting it needs a confirmation."
    ),
    dependencies=[require(Permission.START_JOBS, lambda services, *args: services.reports.find(*args))],
)
def submit_report(
    report_id: ReportId,
    body: ReportSubmission,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_match: IfMatchHeader = None,
) -> ReportResource:
    details = services.reports.record_submission(caller, report_id, body, parse_if_match(if_match))
    return _respond(details, response)


@router.get(
    "/{report_id:uuid}/changes",
    operation_id="list_version_changes",
    summary="List what changed between two versions",
    description=(
        "List the activities that were added, removed or changed between two versions of a report, in report order, "
        "each with the columns that differ, their values in both versions, and whether it counted and counts. "
        "Each request is recorded in the audit trail. The rows of a version are stored as long as its file."
    ),
    dependencies=[require(Permission.DOWNLOAD_FILES), limit_concurrency(OccupyingUse.LARGE_LISTS)],
    openapi_extra=raises(InvalidStateError, SnapshotGoneError),
)
def list_version_changes(
    report_id: ReportId, caller: CurrentCaller, services: ServicesDep, query: Annotated[ChangesQuery, Query()]
) -> VersionChangesPage:
    pair, first = query.decode(report_id)
    changes = services.version_changes.compare(caller, report_id, pair, RowWindow(first, query.page_size))
    return VersionChangesPage.from_changes(report_id, changes, first)


@router.get(
    "/{report_id:uuid}/changes.csv",
    operation_id="download_version_changes",
    summary="Download what changed between two versions",
    description=(
        "Download the activities that were added, removed or changed between two versions of a report as CSV, one line "
        "each: where the activity is in either file, whether it counted and counts, and which of its fields changed, "
        "with their values, or that its outcome did: whether it is rejected, does not count or has a warning, and why. "
        "Each request is recorded in the audit trail. "
        "The rows of a version are stored as long as its file."
    ),
    dependencies=[require(Permission.DOWNLOAD_FILES), limit_concurrency(OccupyingUse.LARGE_LISTS)],
    openapi_extra=raises(InvalidStateError, SnapshotGoneError),
    response_class=StreamingResponse,
    responses={HTTPStatus.OK: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The changes"}},
)
def download_version_changes(
    report_id: ReportId,
    caller: CurrentCaller,
    services: ServicesDep,
    before: EarlierVersion = None,
    after: LaterVersion = None,
) -> StreamingResponse:
    pair = VersionPair(before, after)
    return respond_with_changes(services, caller, report_id, pair, {"Cache-Control": "no-store"})


def respond_with_changes(
    services: Services, caller: Caller, report_id: UUID, pair: VersionPair, headers: Mapping[str, str]
) -> StreamingResponse:
    changes = services.version_changes.compare(caller, report_id, pair)
    name = f"changes-{report_id}-v{changes.before}-v{changes.after}.csv"
    attachment = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(changes.render_csv(), media_type="text/csv", headers={**headers, **attachment})


def _respond(details: ReportDetails, response: Response) -> ReportResource:
    response.headers["ETag"] = format_etag(details.report.edits, details.changes, None)
    return ReportResource.from_details(details)
