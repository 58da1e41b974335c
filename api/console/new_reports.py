"""New reports: the form, the check of what the report would contain, and the start."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Request, Response

from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.errors import redirect
from api.console.exports import load_headings
from api.console.forms import InvalidFormError, ReportForm, list_periods, parse_id
from api.console.languages import choose_language
from api.console.pages import render_page
from api.console.security import SessionForm
from api.console.services import EXPORTS_PATH
from api.console.sessions import ActiveSession, JobStarter
from api.dependencies import Services, ServicesDep
from api.previews import find_or_build_preview
from stafett.domain.errors import ExportError, ServiceUnavailableError
from stafett.domain.export import ExportRequest
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.domain.reporting_period import OSLO
from stafett.exports.service import authorise_start

router = APIRouter(prefix=EXPORTS_PATH)


@router.get("/new")
async def show_new_report(request: Request, session: JobStarter, services: ServicesDep) -> Response:
    """Show the form, filled with what the URL has, so that a user can return to it."""
    defaults = {"period": str(_today(services).year - 1), "export_format": "xlsx", "locale": choose_language(request)}
    return _render_form(request, session, services, defaults | dict(request.query_params))


@router.get("/check")
async def check_report(request: Request, session: JobStarter, services: ServicesDep) -> Response:
    """Show what the report would contain, before it is made."""
    fields = dict(request.query_params)
    try:
        form = ReportForm.parse(fields)
    except InvalidFormError as error:
        return _render_form(request, session, services, fields, error.errors)
    export_request = _to_request(session, form)
    authorise_start(session.caller, export_request)
    result = await check_request(session, services, export_request)
    existing = await run_in_threadpool(
        services.reports.find_newest_of_period, session.caller, form.parameters.reporting_period
    )
    form_fields = {name: fields[name] for name in ReportForm.model_fields if fields.get(name)}
    return render_page(
        request,
        "check_report.html",
        session=session,
        parameters=form.parameters,
        fields=form_fields,
        existing=existing,
        previous=None,
        form_query=urlencode(form_fields | {"page": fields.get("page", "")}),
        page_key=fields.get("page", ""),
        report=None,
        **result,
    )


@router.post("")
async def start_report(request: Request, session: JobStarter, form: SessionForm, services: ServicesDep) -> Response:
    """Start the export, or lead to the one that the same page has started already."""
    try:
        report_form = ReportForm.parse(form)
    except InvalidFormError as error:
        return _render_form(request, session, services, form, error.errors)
    key = f"console-{_create_key(form.get('page', ''), report_form)}"
    accepted = await run_in_threadpool(services.exports.accept, session.caller, _to_request(session, report_form), key)
    if accepted.is_new:
        services.dispatcher.start(accepted.export.job)
    return redirect(request, f"{EXPORTS_PATH}/{accepted.export.id}")


async def check_request(session: ActiveSession, services: Services, export_request: ExportRequest) -> dict[str, Any]:
    """Preview an export for the page of a check, with the reason if there is no preview."""
    result: dict[str, Any] = {"preview": None, "unavailable": False, "error_code": None, "headings": {}}
    try:
        with services.concurrency.occupy(OccupyingUse.PREVIEWS, session.caller):
            job = PreviewJob(preview_id=uuid4(), request=export_request)
            result["preview"] = await find_or_build_preview(services, session.caller, job)
        result["headings"] = await run_in_threadpool(_load_headings, session, services, job, result["preview"])
    except ServiceUnavailableError:
        result["unavailable"] = True
    except ExportError as error:
        result["error_code"] = error.code
    return result


def _load_headings(session: ActiveSession, services: Services, job: PreviewJob, preview: Preview) -> Mapping[str, str]:
    """Load the headings by which the page names the columns of deviations, if there are any."""
    if not preview.partial_failures:
        return {}
    return load_headings(services, session.caller, preview.mapping.version, job.request.locale)


def _today(services: Services) -> datetime:
    return services.clock().astimezone(OSLO)


def _to_request(session: ActiveSession, form: ReportForm) -> ExportRequest:
    caller = session.caller
    values = form.parameters.model_dump() | {"org_id": caller.org_id, "requesting_user_id": caller.user_id}
    return ExportRequest.model_validate(values)


def _create_key(page: str, form: ReportForm) -> UUID:
    """Derive the idempotency key from the page of the form and the parameters.

    A second press, Back and a reload therefore lead to the same export, and other parameters to another one.
    """
    return uuid5(parse_id(page) or uuid4(), form.parameters.model_dump_json())


def _render_form(
    request: Request,
    session: ActiveSession,
    services: Services,
    fields: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
) -> Response:
    blank = dict.fromkeys(ReportForm.model_fields, "")
    return render_page(
        request,
        "new_report.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        years=list_periods(_today(services).date()),
        fields=blank | dict(fields),
        page_key=fields.get("page") or uuid4(),
        errors=errors,
    )
