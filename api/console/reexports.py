"""The page of a job that makes a new version of a report."""

from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.events import limit_event_streams, stream_session_events
from api.console.exports import load_headings_of
from api.console.pages import render_page
from api.console.security import SessionForm, create_page_headers
from api.console.services import REEXPORTS_PATH, ConsoleServicesDep
from api.console.sessions import ActiveSession, CurrentSession
from api.dependencies import Services, ServicesDep
from api.headers import LastEventId
from api.routes.report_reexports import load_view
from api.schemas.exports import ExportResource
from api.schemas.reexports import ReexportSummary
from stafett.domain.errors import NoFileError, NotFoundError
from stafett.domain.membership import Permission
from stafett.domain.reexport_status import ReexportStatus
from stafett.domain.reporting_period import ReportingPeriod

router = APIRouter(prefix=REEXPORTS_PATH)
_STEPS = (
    ReexportStatus.EXPORTING,
    ReexportStatus.STORING_RESULT,
    ReexportStatus.NOTIFYING,
)


@router.get("/{reexport_id:uuid}")
async def show_reexport(
    request: Request, session: CurrentSession, services: ServicesDep, reexport_id: UUID
) -> Response:
    values = await run_in_threadpool(_load_page, session, services, reexport_id)
    return render_page(request, "reexport.html", session=session, now=services.clock(), **values)


@router.get("/{reexport_id:uuid}/events", dependencies=[Depends(limit_event_streams)])
async def watch_reexport(
    session: CurrentSession,
    services: ServicesDep,
    console: ConsoleServicesDep,
    reexport_id: UUID,
    last_event_id: LastEventId,
) -> Response:
    load = partial(load_view, services, session.caller, reexport_id)
    return await stream_session_events(session, services, console, load, last_event_id)


@router.get("/{reexport_id:uuid}/file")
async def download_result(session: CurrentSession, services: ServicesDep, reexport_id: UUID) -> Response:
    url = await run_in_threadpool(_get_download_url, session, services, reexport_id)
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers=create_page_headers(session))


@router.get("/{reexport_id:uuid}/cancel")
async def confirm_cancel(
    request: Request, session: CurrentSession, services: ServicesDep, reexport_id: UUID
) -> Response:
    values = await run_in_threadpool(_load_page, session, services, reexport_id)
    return render_page(
        request,
        "confirm.html",
        session=session,
        action="cancel_reexport",
        period=values["period"],
        back=f"{REEXPORTS_PATH}/{reexport_id}",
    )


@router.post("/{reexport_id:uuid}/cancel")
async def cancel_reexport(
    request: Request, session: CurrentSession, _form: SessionForm, services: ServicesDep, reexport_id: UUID
) -> Response:
    row = await run_in_threadpool(services.reexport_commands.cancel, session.caller, reexport_id)
    services.dispatcher.cancel(row.job)
    return redirect(request, f"{REEXPORTS_PATH}/{reexport_id}")


def _load_page(session: ActiveSession, services: Services, reexport_id: UUID) -> dict[str, Any]:
    caller, details = session.caller, services.reexports.find(session.caller, reexport_id)
    row = details.reexport
    return {
        "reexport": ReexportSummary.from_details(details, caller),
        "period": ReportingPeriod(start=row.period_start, end=row.period_end),
        "steps": list_steps(row.status),
        "can_command": caller.can_cancel_and_retry(row.org_id, row.requested_by),
        **_load_child(session, services, row.export_id if row.status is ReexportStatus.COMPLETED else None),
    }


def _load_child(session: ActiveSession, services: Services, export_id: UUID | None) -> dict[str, Any]:
    """Load the export with the counts and the deviations of the result. An administrator can have deleted it."""
    none: dict[str, Any] = {"export": None, "headings": {}}
    if export_id is None or not session.caller.has_permission(Permission.READ_ORGANISATION):
        return none
    try:
        export = ExportResource.from_details(services.exports.find(session.caller, export_id))
    except NotFoundError:
        return none
    return {"export": export, "headings": load_headings_of(services, session.caller, export)}


def list_steps(status: ReexportStatus) -> list[tuple[ReexportStatus, str]]:
    """List the steps of a re-export that has not failed, with their states: done, current or waiting."""
    if status is ReexportStatus.COMPLETED:
        return [(step, "done") for step in _STEPS]
    position = _STEPS.index(status) if status in _STEPS else -1
    return [
        (step, "done" if index < position else "current" if index == position else "waiting")
        for index, step in enumerate(_STEPS)
    ]


def _get_download_url(session: ActiveSession, services: Services, reexport_id: UUID) -> str:
    """Sign a link to the result and record that the version is downloaded."""
    details = services.reexports.find(session.caller, reexport_id)
    export = details.downloadable_export
    if export is None:
        raise NoFileError("The re-export has no file.")
    version = details.reexport.file_version
    return services.downloads.get_download_url(session.caller, export.id, services.clock(), version)
