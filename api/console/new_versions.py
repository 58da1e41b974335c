"""The check of a new version of a report: what it would contain with today's data."""

from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response

from api.concurrency import run_in_threadpool
from api.console.new_reports import check_request
from api.console.pages import render_page
from api.console.services import REPORTS_PATH
from api.console.sessions import ActiveSession, JobStarter
from api.dependencies import Services, ServicesDep
from api.schemas.exports import ExportResource
from api.schemas.reports import ReportResource
from stafett.domain.errors import NotFoundError
from stafett.domain.export import ExportRequest
from stafett.exports.service import authorise_start

router = APIRouter(prefix=REPORTS_PATH)


@router.get("/{report_id:uuid}/versions/check")
async def check_new_version(request: Request, session: JobStarter, services: ServicesDep, report_id: UUID) -> Response:
    """Show what a new version from today's data would contain, before it is made."""
    details = await run_in_threadpool(services.reports.find, session.caller, report_id)
    report = ReportResource.from_details(details)
    values = report.parameters.model_dump() | {"org_id": report.org_id, "requesting_user_id": session.user_id}
    export_request = ExportRequest.model_validate(values)
    authorise_start(session.caller, export_request)
    return render_page(
        request,
        "check_report.html",
        session=session,
        parameters=report.parameters,
        report=report,
        existing=None,
        previous=await run_in_threadpool(_find_export, services, session, report.files[-1].export_id),
        key=uuid4(),
        **await check_request(session, services, export_request),
    )


def _find_export(services: Services, session: ActiveSession, export_id: UUID) -> ExportResource | None:
    """Find the export of the newest version, with its counts and its mapping, unless it was deleted."""
    try:
        return ExportResource.from_details(services.exports.find(session.caller, export_id))
    except NotFoundError:
        return None
