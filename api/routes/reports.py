"""``/reports``: the history of an organisation's reports."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.dependencies import CallerOf, Given, GuardedRoute, allowed
from api.etags import edits_seen, entity_tag, is_unchanged
from api.headers import IfMatch, IfNoneMatch
from api.paging import PageQuery, page_of
from api.schemas.reports import ReportPage, ReportResource
from stafett.database.pagination import ListFilter
from stafett.domain.membership import Permission
from stafett.reports.history import ReportDetails, ReportSubmission

router = APIRouter(prefix="/reports", tags=["Reports"], route_class=GuardedRoute)


@router.get("", operation_id="list_reports", dependencies=[allowed(Permission.READ_ORGANISATION)])
def list_reports(caller: CallerOf, given: Given, wanted: Annotated[PageQuery, Query()]) -> ReportPage:
    """The reports of the caller's organisation, newest first."""
    found = given.reports.list(caller, ListFilter(**wanted.wanted))
    shown, token = page_of(found, wanted.page_size, lambda one: (one.report.created_at, one.report.id))
    return ReportPage(items=tuple(map(ReportResource.of, shown)), next_page_token=token)


@router.get("/{report_id:uuid}", operation_id="get_report", dependencies=[allowed(Permission.READ_ORGANISATION)])
def get(
    report_id: UUID,
    caller: CallerOf,
    given: Given,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> ReportResource | None:
    """One report with every file that it was made as."""
    resource = _answer(given.reports.find(caller, report_id), response)
    if is_unchanged(response.headers["ETag"], if_none_match):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return resource


@router.put("/{report_id:uuid}", operation_id="submit_report", dependencies=[allowed(Permission.START_JOBS)])
def submit(
    report_id: UUID,
    body: ReportSubmission,
    caller: CallerOf,
    given: Given,
    response: Response,
    if_match: IfMatch = None,
) -> ReportResource:
    """Write down what was handed in to Bufdir, and when."""
    found = given.reports.record_submission(caller, report_id, body, edits_seen(if_match))
    return _answer(found, response)


def _answer(found: ReportDetails, response: Response) -> ReportResource:
    response.headers["ETag"] = entity_tag(found.report.edits, found.changes, None)
    return ReportResource.of(found)
