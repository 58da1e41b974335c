"""The pages of exports: list, state, download, cancel, retry and delete."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.events import limit_event_streams, stream_session_events
from api.console.forms import ConsoleForm, FormErrors, RetryForm, parse_id
from api.console.pages import render_page
from api.console.security import SessionForm, create_page_headers
from api.console.services import EXPORTS_PATH, ConsoleServicesDep
from api.console.sessions import ActiveSession, CurrentSession
from api.dependencies import Services, ServicesDep
from api.headers import LastEventId
from api.routes.bufdir_exports import load_view, respond_with_deviations
from api.schemas.exports import ExportResource
from api.schemas.reports import ReportResource
from stafett.audit.names import SubjectName
from stafett.database.pagination import PageToken
from stafett.domain.errors import FileRemovedError, HandedInError, ServiceUnavailableError
from stafett.domain.export import Locale
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.domain.membership import Caller, Permission
from stafett.exports.downloads import get_downloadable_file
from stafett.exports.handed_in import RemovalConfirmation
from stafett.exports.service import AuditEventFilter, ExportDetails, ExportFilter
from stafett.jobs.commands import require_administrator

router = APIRouter(prefix=EXPORTS_PATH)
_MAX_EVENTS = 200


class DeletionForm(ConsoleForm):
    """Whether a file that was handed in to Bufdir is deleted too."""

    confirm: RemovalConfirmation | None = None


@router.get("")
async def list_exports(
    request: Request, session: CurrentSession, services: ServicesDep, page_token: PageToken = None
) -> Response:
    page = await run_in_threadpool(services.exports.list, session.caller, ExportFilter(page_token=page_token))
    exports = [ExportResource.from_details(ExportDetails(export, ())) for export in page.items]
    return render_page(request, "exports.html", session=session, exports=exports, next_page_token=page.next_page_token)


@router.get("/{export_id:uuid}")
async def show_export(
    request: Request,
    session: CurrentSession,
    services: ServicesDep,
    export_id: UUID,
    deviation: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    values = await run_in_threadpool(_load_page, session, services, export_id)
    export: ExportResource = values["export"]
    reasons = {failure.code: failure.failure_reason for failure in export.partial_failures}
    failures = [failure for failure in export.partial_failures if deviation in {"", failure.code}]
    return render_page(
        request,
        "export.html",
        session=session,
        now=services.clock(),
        deviation=deviation,
        deviation_codes=reasons,
        failures=failures,
        **values,
    )


@router.get("/{export_id:uuid}/events", dependencies=[Depends(limit_event_streams)])
async def watch_export(
    session: CurrentSession,
    services: ServicesDep,
    console: ConsoleServicesDep,
    export_id: UUID,
    last_event_id: LastEventId,
) -> Response:
    load = partial(load_view, services, session.caller, export_id)
    return await stream_session_events(session, services, console, load, last_event_id)


@router.get("/{export_id:uuid}/file")
async def download_export(session: CurrentSession, services: ServicesDep, export_id: UUID) -> Response:
    url = await run_in_threadpool(services.downloads.get_download_url, session.caller, export_id, services.clock())
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers=create_page_headers(session))


@router.get("/{export_id:uuid}/deviations.csv")
async def download_deviations(session: CurrentSession, services: ServicesDep, export_id: UUID) -> Response:
    headers = create_page_headers(session)
    return await run_in_threadpool(respond_with_deviations, services, session.caller, export_id, headers)


@router.get("/{export_id:uuid}/cancel")
async def confirm_cancel(request: Request, session: CurrentSession, services: ServicesDep, export_id: UUID) -> Response:
    return await _render_confirmation(request, session, services, export_id, "cancel_export")


@router.post("/{export_id:uuid}/cancel")
async def cancel_export(
    request: Request, session: CurrentSession, _form: SessionForm, services: ServicesDep, export_id: UUID
) -> Response:
    export = await run_in_threadpool(services.export_commands.cancel, session.caller, export_id)
    services.dispatcher.cancel(export.job)
    return redirect(request, f"{EXPORTS_PATH}/{export_id}")


@router.post("/{export_id:uuid}/retry")
async def retry_export(
    request: Request, session: CurrentSession, form: SessionForm, services: ServicesDep, export_id: UUID
) -> Response:
    key = RetryForm.parse(form).create_key(export_id)
    export, is_new = await run_in_threadpool(services.export_commands.retry, session.caller, export_id, key)
    if is_new:
        services.dispatcher.start(export.job)
    return redirect(request, f"{EXPORTS_PATH}/{export_id}")


@router.get("/{export_id:uuid}/delete")
async def confirm_delete(request: Request, session: CurrentSession, services: ServicesDep, export_id: UUID) -> Response:
    return await _render_confirmation(request, session, services, export_id, "delete_export")


@router.post("/{export_id:uuid}/delete")
async def delete_export(
    request: Request, session: CurrentSession, form: SessionForm, services: ServicesDep, export_id: UUID
) -> Response:
    confirmation = DeletionForm.parse(form).confirm
    try:
        export = await run_in_threadpool(services.export_commands.delete, session.caller, export_id, confirmation)
    except HandedInError:
        errors = {"confirm": "handed_in"}
        return await _render_confirmation(request, session, services, export_id, "delete_export", errors)
    with suppress(ServiceUnavailableError):  # the deletion is committed; retention removes remaining files
        await run_in_threadpool(services.file_removal.remove, export.job)
    return redirect(request, EXPORTS_PATH)


def _load_page(session: ActiveSession, services: Services, export_id: UUID) -> dict[str, Any]:
    caller, details = session.caller, services.exports.find(session.caller, export_id)
    row, export = details.export, ExportResource.from_details(details)
    events: Sequence[Any] = ()
    next_page = None
    if caller.can_read_audit_of(row.org_id, row.requested_by):
        events, next_page = services.export_audit_trail.list_events(
            caller, export_id, AuditEventFilter(page_size=_MAX_EVENTS)
        )
    return {
        "export": export,
        "report": _load_report(services, caller, export.report_id),
        "headings": load_headings_of(services, caller, export),
        "stages": list_stages(
            export, [step.status for step in services.job_history.steps_after(row.org_id, row.id, 0)]
        ),
        "is_file_removed": _is_file_removed(details),
        "can_command": caller.can_cancel_and_retry(row.org_id, row.requested_by),
        "events": events,
        "names": _load_names(services, caller, events),
        "has_more_events": next_page is not None,
    }


def _load_names(services: Services, caller: Caller, events: Sequence[Any]) -> Mapping[UUID, SubjectName]:
    """Load the names of those who did what happened, for those who see them in the audit trail too."""
    if not caller.has_permission(Permission.READ_AUDIT_TRAIL):
        return {}
    return services.audit_names.load(caller, filter(None, (parse_id(each.actor.partition(":")[2]) for each in events)))


def _load_report(services: Services, caller: Caller, report_id: UUID | None) -> ReportResource | None:
    """Load the entry of the history, whose later versions and marks the page of the first version names."""
    if report_id is None or not caller.has_permission(Permission.READ_ORGANISATION):
        return None
    return ReportResource.from_details(services.reports.find(caller, report_id))


def load_headings_of(services: Services, caller: Caller, export: ExportResource) -> dict[str, str]:
    """Load the headings that the deviations of an export name, if it has any."""
    if not export.partial_failures or export.mapping is None:
        return {}
    return load_headings(services, caller, export.mapping.version, export.locale)


def load_headings(services: Services, caller: Caller, version: int, locale: Locale) -> dict[str, str]:
    """Load the headings of a report's columns in its language, by the ids with which deviations name columns."""
    document = services.mappings.get_version(caller, caller.org_id or "", version).mapping.document
    return {column["id"]: column["header"][locale] for column in document["columns"]}


def _is_file_removed(details: ExportDetails) -> bool:
    if details.export.status is not ExportStatus.COMPLETED:
        return False
    try:
        get_downloadable_file(details.export)
    except FileRemovedError:
        return True
    return False


def list_stages(export: ExportResource, history: Sequence[str]) -> list[tuple[ExportStatus, str]]:
    """List the stages of an export with their states: done, current, failed or waiting."""
    stages = [s for s in EXPORT_STAGES if s is not ExportStatus.BUNDLING_ATTACHMENTS or export.include_attachments]
    if export.status is ExportStatus.COMPLETED:
        return [(stage, "done") for stage in stages]
    reached = next((status for status in reversed(history) if status in stages), None)
    if reached is None or export.status is ExportStatus.INITIALISED:
        return [(stage, "waiting") for stage in stages]
    position = stages.index(ExportStatus(reached))
    current = "failed" if export.status is ExportStatus.FAILED else "current"
    states = ["done"] * position + [current] + ["waiting"] * (len(stages) - position - 1)
    return list(zip(stages, states, strict=True))


async def _render_confirmation(
    request: Request,
    session: ActiveSession,
    services: Services,
    export_id: UUID,
    action: str,
    errors: FormErrors | None = None,
) -> Response:
    details, handed_in = await run_in_threadpool(services.exports.find, session.caller, export_id), None
    if action == "delete_export":
        require_administrator(session.caller, details.export.org_id)
        handed_in = await run_in_threadpool(services.export_commands.find_handed_in_version, session.caller, export_id)
    return render_page(
        request,
        "confirm.html",
        session=session,
        status=HTTPStatus.CONFLICT if errors else HTTPStatus.OK,
        address=f"{EXPORTS_PATH}/{export_id}/{action.removesuffix('_export')}",
        action=action,
        handed_in=handed_in,
        errors=errors,
        period=ExportResource.from_details(details).reporting_period,
        back=f"{EXPORTS_PATH}/{export_id}",
    )
