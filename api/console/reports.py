"""The history of reports: versions, new versions, what was submitted to Bufdir, and the check of a file."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from http import HTTPStatus
from itertools import pairwise
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, StringConstraints

from api.concurrency import run_in_threadpool
from api.console.errors import redirect, render_error
from api.console.forms import ConsoleForm, FormErrors, InvalidFormError, RevisionForm, parse_id
from api.console.pages import render_page
from api.console.security import SessionForm, SessionUpload, create_page_headers
from api.console.services import REEXPORTS_PATH, REPORTS_PATH
from api.console.sessions import ActiveSession, JobStarter, require_permission
from api.console.written_days import WrittenDay
from api.dependencies import Services, ServicesDep
from api.routes.reports import EarlierVersion, LaterVersion, respond_with_changes
from api.schemas.reports import ReportResource
from stafett.database.pagination import PageToken
from stafett.domain.errors import InvalidFieldError, ReexportInProgressError
from stafett.domain.fields import NO_NUL
from stafett.domain.membership import Permission
from stafett.domain.reexport import MAX_VERSION, ReexportRequest, ReexportSource
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR, OSLO
from stafett.reports.history import ReportDetails, ReportFilter
from stafett.reports.row_changes import RowWindow, VersionPair
from stafett.reports.row_descriptions import list_column_changes
from stafett.reports.submissions import ReportSubmission, get_default_grant_year

router = APIRouter(prefix=REPORTS_PATH)
Reader = Annotated[ActiveSession, require_permission(Permission.READ_ORGANISATION)]
_NOON = time(12)
_MAX_CHANGES = 100
_FORM_FIELDS = {"version": "submitted_version", "submitted_at": "submitted_on"}
_SHA256_PATTERN = r"^[0-9a-fA-F]{64}$"


class SubmissionForm(RevisionForm):
    """When a report was submitted to Bufdir, and under which reference."""

    submitted_on: WrittenDay
    submitted_version: Annotated[int, Field(ge=1, le=MAX_VERSION)] | None = None
    grant_year: Annotated[int, Field(ge=EARLIEST_YEAR, le=LATEST_YEAR)] | None = None
    submitted_reference: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), NO_NUL] | None = None


class NewVersionForm(ConsoleForm):
    """From which data a new version is made, and why."""

    source: ReexportSource
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)] = 1
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), NO_NUL] | None = None


class HashForm(ConsoleForm):
    """The SHA-256 of a file that is too large to upload."""

    sha256: Annotated[str, StringConstraints(strip_whitespace=True, pattern=_SHA256_PATTERN, to_lower=True)]


@router.get("")
async def list_reports(
    request: Request,
    session: Reader,
    services: ServicesDep,
    page_token: PageToken = None,
    notice: Annotated[str, Query()] = "",
) -> Response:
    page = await run_in_threadpool(services.reports.list, session.caller, ReportFilter(page_token=page_token))
    reports = [ReportResource.from_details(details) for details in page.items]
    token = page.next_page_token
    return render_page(request, "reports.html", session=session, reports=reports, next_page_token=token, notice=notice)


@router.get("/{report_id:uuid}")
async def show_report(
    request: Request,
    session: Reader,
    services: ServicesDep,
    report_id: UUID,
    *,
    notice: Annotated[str, Query()] = "",
    version: Annotated[Sequence[int], Query(max_length=MAX_VERSION)] = (),
) -> Response:
    return await _render_report(request, session, services, report_id, notice=notice, withdrawn=version)


@router.get("/{report_id:uuid}/changes")
async def show_version_changes(
    request: Request,
    session: Reader,
    services: ServicesDep,
    report_id: UUID,
    before: EarlierVersion = None,
    after: LaterVersion = None,
) -> Response:
    pair = VersionPair(before, after)
    values = await run_in_threadpool(_load_changes, session, services, report_id, pair)
    return render_page(request, "version_changes.html", session=session, **values)


@router.get("/{report_id:uuid}/changes.csv")
async def download_version_changes(
    session: Reader,
    services: ServicesDep,
    report_id: UUID,
    before: EarlierVersion = None,
    after: LaterVersion = None,
) -> Response:
    pair, headers = VersionPair(before, after), create_page_headers(session)
    return await run_in_threadpool(respond_with_changes, services, session.caller, report_id, pair, headers)


@router.post("/{report_id:uuid}/submission")
async def record_submission(
    request: Request, session: JobStarter, form: SessionForm, services: ServicesDep, report_id: UUID
) -> Response:
    """Mark the report as submitted, unless another user has changed that since the page was made."""
    try:
        fields = SubmissionForm.parse(form)
    except InvalidFormError as error:
        return await _render_report(request, session, services, report_id, form, error.errors)
    optional = {"version": fields.submitted_version, "grant_year": fields.grant_year}
    submission = ReportSubmission(
        submitted_at=datetime.combine(fields.submitted_on, _NOON, OSLO),
        submitted_reference=fields.submitted_reference or None,
        **{name: value for name, value in optional.items() if value is not None},
    )
    try:
        await run_in_threadpool(
            services.reports.record_submission, session.caller, report_id, submission, {fields.revision}
        )
    except InvalidFieldError as error:
        field = _FORM_FIELDS.get(error.field, error.field)
        return await _render_report(request, session, services, report_id, form, {field: error.code})
    return redirect(request, f"{REPORTS_PATH}/{report_id}")


@router.get("/{report_id:uuid}/submission/clear")
async def confirm_clearing(request: Request, session: JobStarter, services: ServicesDep, report_id: UUID) -> Response:
    details = await run_in_threadpool(services.reports.find, session.caller, report_id)
    report = ReportResource.from_details(details)
    return render_page(
        request,
        "confirm.html",
        session=session,
        action="clear_submission",
        period=report.reporting_period,
        marked=[file for file in report.files if file.submitted_at],
        fields={"revision": details.report.edits},
        back=f"{REPORTS_PATH}/{report_id}",
    )


@router.post("/{report_id:uuid}/submission/clear")
async def clear_submission(
    request: Request, session: JobStarter, form: SessionForm, services: ServicesDep, report_id: UUID
) -> Response:
    submission = ReportSubmission(submitted_at=None, submitted_reference=None)
    revisions = {RevisionForm.parse(form).revision}
    before = await run_in_threadpool(services.reports.find, session.caller, report_id)
    versions = [each.version for each in ReportResource.from_details(before).files if each.submitted_at]
    await run_in_threadpool(services.reports.record_submission, session.caller, report_id, submission, revisions)
    query = urlencode([("notice", "withdrawn"), *(("version", each) for each in versions)])
    return redirect(request, f"{REPORTS_PATH}/{report_id}?{query}")


@router.post("/{report_id:uuid}/versions")
async def start_new_version(
    request: Request, session: JobStarter, form: SessionForm, services: ServicesDep, report_id: UUID
) -> Response:
    """Start a re-export, or lead to the one that the same page has started already."""
    try:
        fields = NewVersionForm.parse(form)
    except InvalidFormError as error:
        return await _render_report(request, session, services, report_id, form, error.errors)
    reexport = ReexportRequest(
        report_id=report_id, source=fields.source, version=fields.version, reason=fields.reason or None
    )
    key = f"console-{parse_id(form.get('key')) or uuid4()}"
    try:
        accepted = await run_in_threadpool(services.reexports.accept, session.caller, reexport, key)
    except ReexportInProgressError as error:
        return render_error(request, HTTPStatus.CONFLICT, back=f"{REEXPORTS_PATH}/{error.running_id}")
    if accepted.is_new:
        services.dispatcher.start(accepted.reexport.job)
    return redirect(request, f"{REEXPORTS_PATH}/{accepted.reexport.id}")


@router.post("/{report_id:uuid}/verification")
async def verify_file(
    request: Request, session: Reader, upload: SessionUpload, services: ServicesDep, report_id: UUID
) -> Response:
    """Compare an uploaded file, or the SHA-256 of one, with all versions of the report."""
    if upload.file is not None:
        digest = await run_in_threadpool(hashlib.sha256, await upload.file.read())
        sha256 = digest.hexdigest()
    elif upload.fields.get("sha256"):
        try:
            sha256 = HashForm.parse(upload.fields).sha256
        except InvalidFormError:
            errors = {"sha256": "hash_invalid"}
            return await _render_report(request, session, services, report_id, upload.fields, errors)
    else:
        return await _render_report(request, session, services, report_id, {}, {"file": "file_missing"})
    return await _render_report(request, session, services, report_id, {"verified_sha256": sha256})


async def _render_report(
    request: Request,
    session: ActiveSession,
    services: Services,
    report_id: UUID,
    fields: Mapping[str, str] | None = None,
    errors: FormErrors | None = None,
    *,
    notice: str = "",
    withdrawn: Sequence[int] = (),
) -> Response:
    details = await run_in_threadpool(services.reports.find, session.caller, report_id)
    today = services.clock().astimezone(OSLO).date()
    report, newest = details.report, len(details.files)
    submitted_on = report.submitted_at.astimezone(OSLO).date() if report.submitted_at else today
    blank = {
        "submitted_on": submitted_on.isoformat(),
        "submitted_reference": details.submitted_reference or "",
        "submitted_version": str(report.submitted_version or newest),
        "grant_year": str(report.grant_year or get_default_grant_year(report)),
        "source": ReexportSource.CURRENT_DATA,
        "version": str(newest),
        "reason": "",
        "sha256": "",
    }
    given = dict(fields or {})
    verified = given.get("verified_sha256")
    resource = ReportResource.from_details(details)
    return render_page(
        request,
        "report.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{REPORTS_PATH}/{report_id}",
        report=resource,
        comparable_versions=_list_comparable_versions(resource),
        revision=report.edits,
        is_in_future=report.submitted_at is not None and submitted_on > today,
        notice=notice,
        withdrawn=withdrawn,
        key=parse_id(given.get("key")) or uuid4(),
        fields=blank | given,
        errors=errors,
        verified_sha256=verified,
        matching_version=_find_version(details, verified),
    )


def _list_comparable_versions(report: ReportResource) -> Sequence[int]:
    """List the versions whose rows differ from those of the version before, while both are still stored."""
    pairs = pairwise(report.files)
    return [
        after.version
        for before, after in pairs
        if before.file
        and after.file
        and after.change
        and (after.change.rows_added or after.change.rows_removed or after.change.rows_changed)
    ]


def _load_changes(session: ActiveSession, services: Services, report_id: UUID, pair: VersionPair) -> dict[str, Any]:
    """Load the numbers of all changes and the first of them, which are read from storage only as far as needed."""
    changes = services.version_changes.compare(session.caller, report_id, pair, RowWindow(length=_MAX_CHANGES))
    rows = [row | {"differences": list_column_changes(row)} for row in changes.iterate_rows()]
    details = services.reports.find(session.caller, report_id)
    return {"changes": changes, "rows": rows, "report": ReportResource.from_details(details)}


def _find_version(details: ReportDetails, sha256: str | None) -> int | None:
    """Find the version with these bytes, also one whose file is no longer stored."""
    files: list[tuple[int, dict[str, Any]]] = [(each.version.version, each.version.file) for each in details.files]
    return next((version for version, file in files if file["sha256"] == sha256), None)
