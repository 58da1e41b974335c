"""A draft of a column mapping: upload, trial beside the version in force, and publication.

The forms of the pages carry the draft along, so that nothing is stored before it is published.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Literal, NamedTuple, Self
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, Day, FormErrors, InvalidFormError, create_field_error
from api.console.languages import choose_language
from api.console.mapping_words import name_differences, name_issues
from api.console.mappings import MAPPING_PATH, load_in_force
from api.console.pages import render_page
from api.console.security import SessionUpload
from api.console.sessions import ActiveSession, Administrator
from api.dependencies import Services, ServicesDep
from api.previews import build_preview
from api.schemas.reports import ReportResource
from stafett.column_mapper import InvalidMappingError, MappingDocument, load_mapping
from stafett.column_mapper.differences import compare_documents
from stafett.column_mapper.loader import load_mapping_request
from stafett.domain.errors import ExportError, ServiceUnavailableError
from stafett.domain.export import ExportRequest
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.domain.reporting_period import OSLO
from stafett.exports.service import authorise_start
from stafett.reports.history import ReportFilter

_PATH = f"{MAPPING_PATH}/draft"
router = APIRouter(prefix=_PATH)
_MAX_ISSUES = 100
_MAX_CONCERNED = 20


class TrialForm(ConsoleForm):
    """The first and the last day of the period with which a draft is tried."""

    start: Day
    end: Day

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.end < self.start:
            raise create_field_error("end", "period_order")
        return self


class PublicationForm(ConsoleForm):
    """From when the draft is in force, and the latest version when the draft was uploaded, if there was one."""

    effective_from: Day
    confirm_past: Literal["true"] | None = None
    revision: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class Trial(NamedTuple):
    """The preview with one mapping, or the code of the reason why there is none."""

    preview: Preview | None = None
    error_code: str | None = None


@router.get("")
async def show_upload(request: Request, session: Administrator) -> Response:
    return _render_upload(request, session)


@router.post("")
async def check_draft(
    request: Request, session: Administrator, upload: SessionUpload, services: ServicesDep
) -> Response:
    """Show the issues of an uploaded document, or what it changes."""
    if upload.file is None:
        return _render_upload(request, session, errors={"file": "file_missing"})
    content = await upload.file.read()
    try:
        with services.concurrency.occupy(OccupyingUse.VALIDATIONS, session.caller):
            draft = await run_in_threadpool(load_mapping_request, content, session.org_id)
    except InvalidMappingError as error:
        issues = await run_in_threadpool(name_issues, error.issues[:_MAX_ISSUES], content, choose_language(request))
        return _render_upload(request, session, errors={"file": "mapping_invalid"}, issues=issues)
    return await _render_draft(request, session, services, draft, {})


@router.post("/trial")
async def try_draft(request: Request, session: Administrator, upload: SessionUpload, services: ServicesDep) -> Response:
    """Preview the same period with the draft and with the version in force on its last day."""
    draft = await _load_draft(services, session, upload.fields)
    try:
        form = TrialForm.parse(upload.fields)
    except InvalidFormError as error:
        return await _render_draft(request, session, services, draft, upload.fields, errors=error.errors)
    export_request = ExportRequest.model_validate(
        {
            "org_id": session.org_id,
            "requesting_user_id": session.user_id,
            "reporting_period": {"start": form.start, "end": form.end},
            "export_format": "xlsx",
            "locale": choose_language(request),
        }
    )
    authorise_start(session.caller, export_request)
    with services.concurrency.occupy(OccupyingUse.PREVIEWS, session.caller):
        current, tried = await asyncio.gather(
            _preview(services, session, export_request, None), _preview(services, session, export_request, draft)
        )
    trial = {"current": current, "tried": tried, "period": export_request.reporting_period}
    return await _render_draft(request, session, services, draft, upload.fields, trial=trial)


@router.post("/publication")
async def publish_draft(
    request: Request, session: Administrator, upload: SessionUpload, services: ServicesDep
) -> Response:
    """Add the draft as a version, unless another user has added one since it was uploaded."""
    draft = await _load_draft(services, session, upload.fields)
    try:
        form = PublicationForm.parse(upload.fields)
    except InvalidFormError as error:
        return await _render_draft(request, session, services, draft, upload.fields, errors=error.errors)
    if form.effective_from < services.clock().astimezone(OSLO).date() and form.confirm_past is None:
        concerned = await run_in_threadpool(_list_concerned, services, session, form.effective_from)
        errors = {"confirm_past": "past_day"}
        return await _render_draft(request, session, services, draft, upload.fields, errors=errors, concerned=concerned)
    content = json.dumps(draft.as_json() | {"effective_from": form.effective_from.isoformat()})
    document = await run_in_threadpool(load_mapping, content)
    revisions = None if form.revision is None else {form.revision}
    await run_in_threadpool(services.mappings.add, session.caller, session.org_id, document, revisions)
    return redirect(request, f"{MAPPING_PATH}?notice=published")


def _list_concerned(services: Services, session: ActiveSession, day: date) -> list[ReportResource]:
    """List the newest reports whose later versions would use a mapping that is in force from the day."""
    reports = map(ReportResource.from_details, services.reports.list(session.caller, ReportFilter(page_size=100)).items)
    return [each for each in reports if each.reporting_period.last_day >= day][:_MAX_CONCERNED]


async def _load_draft(services: Services, session: ActiveSession, fields: Mapping[str, str]) -> MappingDocument:
    try:
        with services.concurrency.occupy(OccupyingUse.VALIDATIONS, session.caller):
            return await run_in_threadpool(load_mapping, fields.get("document", ""))
    except InvalidMappingError:  # not a page of the console: those carry valid drafts only
        raise InvalidFormError({"document": "mapping_invalid"}) from None


async def _preview(
    services: Services, session: ActiveSession, export_request: ExportRequest, draft: MappingDocument | None
) -> Trial:
    job = PreviewJob(preview_id=uuid4(), request=export_request, has_draft=draft is not None)
    try:
        return Trial(await build_preview(services, session.caller, job, draft))
    except ServiceUnavailableError:
        return Trial(error_code="unavailable")
    except ExportError as error:
        return Trial(error_code=error.code)


def _render_upload(
    request: Request, session: ActiveSession, *, errors: FormErrors | None = None, issues: object = ()
) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
    return render_page(
        request, "upload_mapping.html", session=session, status=status, address=_PATH, errors=errors, issues=issues
    )


async def _render_draft(
    request: Request,
    session: ActiveSession,
    services: Services,
    draft: MappingDocument,
    fields: Mapping[str, str],
    *,
    trial: Mapping[str, Any] | None = None,
    errors: FormErrors | None = None,
    concerned: Sequence[ReportResource] = (),
) -> Response:
    in_force = await run_in_threadpool(load_in_force, session, services)
    versions = await run_in_threadpool(services.mappings.list_versions, session.caller, session.org_id)
    today = services.clock().astimezone(OSLO).date()
    year, day = today.year - 1, draft.effective_from
    if in_force is not None and day == in_force.effective_from:
        day = today  # the document of a version as it was downloaded; its day would change reports of past periods
    revision = fields.get("revision", str(versions[0].version) if versions else "")
    defaults = {"start": f"{year}-01-01", "end": f"{year}-12-31", "effective_from": day.isoformat()}
    document = draft.as_json()
    old = in_force.document if in_force else {}
    found = await run_in_threadpool(compare_documents, old, document) if in_force else []
    differences = name_differences(found, old, document, choose_language(request))
    return render_page(
        request,
        "mapping_draft.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=_PATH,
        document=document,
        carried={"document": json.dumps(document, ensure_ascii=False), "revision": revision},
        fields=defaults | {name: fields[name] for name in defaults if name in fields},
        in_force=in_force,
        differences=differences,
        trial=trial,
        errors=errors,
        concerned=concerned,
    )
