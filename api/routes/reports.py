"""``/reports``: the history of an organisation's reports."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.etags import format_etag, is_unchanged, parse_if_match
from api.headers import IfMatchHeader, IfNoneMatchHeader
from api.paging import ListQuery, split_page
from api.schemas.reports import ReportPage, ReportResource
from stafett.database.pagination import ListFilter
from stafett.domain.membership import Permission
from stafett.reports.history import ReportDetails, ReportSubmission

router = APIRouter(prefix="/reports", tags=["Reports"], route_class=GuardedRoute)


@router.get("", operation_id="list_reports", dependencies=[require(Permission.READ_ORGANISATION)])
def list_reports(caller: CurrentCaller, services: ServicesDep, query: Annotated[ListQuery, Query()]) -> ReportPage:
    """The reports of the caller's organisation, newest first."""
    found = services.reports.list(caller, ListFilter(**query.filter_args))
    shown, token = split_page(found, query.page_size, lambda one: (one.report.created_at, one.report.id))
    return ReportPage(items=tuple(map(ReportResource.from_details, shown)), next_page_token=token)


@router.get("/{report_id:uuid}", operation_id="get_report", dependencies=[require(Permission.READ_ORGANISATION)])
def get_report(
    report_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> ReportResource | None:
    """One report with every file that it was made as."""
    resource = _respond(services.reports.find(caller, report_id), response)
    if is_unchanged(response.headers["ETag"], if_none_match):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return resource


@router.put("/{report_id:uuid}", operation_id="submit_report", dependencies=[require(Permission.START_JOBS)])
def submit_report(
    report_id: UUID,
    body: ReportSubmission,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_match: IfMatchHeader = None,
) -> ReportResource:
    """Write down what was handed in to Bufdir, and when."""
    found = services.reports.record_submission(caller, report_id, body, parse_if_match(if_match))
    return _respond(found, response)


def _respond(details: ReportDetails, response: Response) -> ReportResource:
    response.headers["ETag"] = format_etag(details.report.edits, details.changes, None)
    return ReportResource.from_details(details)
