"""The operator's pages: the jobs of all organisations, and cancelling and retrying several of them at once."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, model_validator

from api.concurrency import run_in_threadpool
from api.console.forms import ConsoleForm, InvalidFormError, RetryForm, create_field_error
from api.console.pages import render_page
from api.console.security import SessionFormData
from api.console.services import CONSOLE_PATH, ConsoleServices, ConsoleServicesDep
from api.console.sessions import ActiveSession, CurrentSession
from api.dependencies import Services, ServicesDep
from stafett.bulk.service import BatchFilter
from stafett.database.pagination import UNKNOWN_ORGANISATION, Page, PageToken
from stafett.database.tables import BulkBatch, Export, Reexport
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import InvalidRequestError, InvalidStateError, NotFoundError, PermissionDeniedError
from stafett.domain.export import OrgId
from stafett.domain.export_status import ExportStatus
from stafett.domain.job import Job
from stafett.domain.membership import Caller
from stafett.domain.reexport_status import ReexportStatus
from stafett.exports.service import ExportFilter
from stafett.reports.reexports import ReexportFilter

router = APIRouter(prefix=f"{CONSOLE_PATH}/operator")
_MAX_JOBS = 200
_RETRYABLE = frozenset(
    {ExportStatus.FAILED, BulkStatus.FAILED, ExportStatus.CANCELLED, BulkStatus.COMPLETED_WITH_FAILURES}
)
AnyJob = Export | Reexport | BulkBatch


class OperatorJobKind(StrEnum):
    """Kind of the jobs that a page lists."""

    EXPORT = "export"
    REEXPORT = "reexport"
    BATCH = "batch"


STATUSES: Mapping[OperatorJobKind, Sequence[str]] = {
    OperatorJobKind.EXPORT: tuple(ExportStatus),
    OperatorJobKind.REEXPORT: tuple(ReexportStatus),
    OperatorJobKind.BATCH: tuple(BulkStatus),
}


class JobsForm(ConsoleForm):
    """The filters of the list."""

    kind: OperatorJobKind = OperatorJobKind.EXPORT
    status: str | None = None
    organisation: OrgId | None = None
    hours: Annotated[int, Field(ge=1, le=24 * 366)] | None = None

    @model_validator(mode="after")
    def _check_status(self) -> Self:
        if self.status is not None and self.status not in STATUSES[self.kind]:
            raise create_field_error("status", "status_of_kind")
        return self


class SelectionForm(ConsoleForm):
    """The jobs that the operator has chosen on a page, and what to do with them. No jobs is an error, never all."""

    action: Literal["cancel", "retry"]
    kind: OperatorJobKind
    jobs: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=_MAX_JOBS)]


class JobRow(NamedTuple):
    """A job as a line of a page."""

    id: UUID
    org_id: str
    status: str
    attempt: int
    created_at: datetime
    age: timedelta
    is_possible: bool
    """Whether the state of the job admits the chosen action."""
    run_url: str | None


class ActionResult(NamedTuple):
    """What an action has done with a job; it is None if the job's state did not admit it, or it is gone."""

    job_id: UUID
    org_id: str | None


async def require_operator(session: CurrentSession) -> ActiveSession:
    if not session.caller.is_operator:
        raise PermissionDeniedError("Only an operator may see the jobs of all organisations.")
    return session


OperatorSession = Annotated[ActiveSession, Depends(require_operator)]


@router.get("")
async def list_jobs(
    request: Request,
    session: OperatorSession,
    services: ServicesDep,
    console: ConsoleServicesDep,
    page_token: PageToken = None,
) -> Response:
    fields = {name: request.query_params[name] for name in JobsForm.model_fields if request.query_params.get(name)}
    return await _render_list(request, session, services, console, fields, page_token)


@router.post("/check")
async def check_selection(
    request: Request,
    session: OperatorSession,
    form: SessionFormData,
    services: ServicesDep,
    console: ConsoleServicesDep,
) -> Response:
    """Show exactly which jobs the action will hit, before anything is done."""
    try:
        selection = _parse_selection(form)
    except InvalidFormError:
        fields = {name: str(form[name]) for name in JobsForm.model_fields if form.get(name)}
        return await _render_list(request, session, services, console, fields, None, {"jobs": "jobs_missing"})
    rows = await run_in_threadpool(_load_selection, services, console, session.caller, selection)
    return render_page(request, "check_jobs.html", session=session, selection=selection, rows=rows)


@router.post("")
async def act_on_selection(
    request: Request, session: OperatorSession, form: SessionFormData, services: ServicesDep
) -> Response:
    """Cancel or retry the jobs, each in a transaction of its own with its audit event."""
    selection = _parse_selection(form)
    attempts = {job_id: RetryForm.parse({"attempt": form.get(f"attempt-{job_id}", "")}) for job_id in selection.jobs}
    results = []
    for job_id in selection.jobs:
        act = create_command(services, session.caller, selection, attempts[job_id])
        results.append(await _act(act, services, selection, job_id))
    return render_page(request, "jobs_result.html", session=session, selection=selection, results=results)


def create_command(
    services: Services, caller: Caller, selection: SelectionForm, attempt: RetryForm
) -> Callable[[UUID], tuple[AnyJob, bool]]:
    """Return the command of the action on a job of the kind; it returns the job and whether anything is to be done."""

    def cancel(job_id: UUID) -> tuple[AnyJob, bool]:
        match selection.kind:
            case OperatorJobKind.EXPORT:
                return services.export_commands.cancel(caller, job_id), True
            case OperatorJobKind.REEXPORT:
                return services.reexport_commands.cancel(caller, job_id), True
            case OperatorJobKind.BATCH:
                return services.batch_commands.cancel(caller, job_id), True

    def retry(job_id: UUID) -> tuple[AnyJob, bool]:
        match selection.kind:
            case OperatorJobKind.EXPORT:
                return services.export_commands.retry(caller, job_id, attempt.create_key(job_id))
            case OperatorJobKind.REEXPORT:
                raise InvalidStateError("A new version is made by a new order.")
            case OperatorJobKind.BATCH:
                return services.batch_commands.retry(caller, job_id, attempt.create_key(job_id))

    return cancel if selection.action == "cancel" else retry


async def _act(
    act: Callable[[UUID], tuple[AnyJob, bool]], services: Services, selection: SelectionForm, job_id: UUID
) -> ActionResult:
    try:
        row, is_new = await run_in_threadpool(act, job_id)
    except (InvalidStateError, NotFoundError):
        return ActionResult(job_id, None)
    if selection.action == "cancel":
        services.dispatcher.cancel(row.job)
    elif is_new:
        services.dispatcher.start(row.job)
    return ActionResult(job_id, row.org_id)


def _parse_selection(form: Any) -> SelectionForm:
    return SelectionForm.parse(
        {"action": form.get("action"), "kind": form.get("kind"), "jobs": tuple(dict.fromkeys(form.getlist("jobs")))}
    )


async def _render_list(
    request: Request,
    session: ActiveSession,
    services: Services,
    console: ConsoleServices,
    fields: Mapping[str, str],
    page_token: str | None,
    errors: Mapping[str, str] | None = None,
) -> Response:
    form, page, now = JobsForm(), Page[AnyJob]([], None), services.clock()
    try:
        form = JobsForm.parse(fields)
        page = await run_in_threadpool(_load_jobs, services, session.caller, form, now, page_token)
    except InvalidFormError as error:  # no jobs are listed, because an invalid filter does not mean all of them
        errors = error.errors
    except InvalidRequestError as error:
        if not any(issue.code == UNKNOWN_ORGANISATION for issue in error.issues):
            raise
        errors = {"organisation": UNKNOWN_ORGANISATION}
    rows = [_to_row(console, job, now, None) for job in page.items]
    organisations = await run_in_threadpool(services.organisations.list, session.caller)
    return render_page(
        request,
        "operator.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{CONSOLE_PATH}/operator",
        fields=dict.fromkeys(JobsForm.model_fields, "") | {"kind": form.kind.value} | dict(fields),
        filter_query=urlencode(fields),
        statuses=STATUSES,
        organisations=organisations,
        rows=rows,
        kind=form.kind,
        next_page_token=page.next_page_token,
        errors=errors,
    )


def _load_jobs(services: Services, caller: Caller, form: JobsForm, now: datetime, page_token: str | None) -> Any:
    values = {
        "org_id": form.organisation,
        "status": form.status,
        "created_before": now - timedelta(hours=form.hours) if form.hours else None,
        "page_token": page_token,
    }
    match form.kind:
        case OperatorJobKind.EXPORT:
            return services.exports.list(caller, ExportFilter.model_validate(values))
        case OperatorJobKind.REEXPORT:
            page = services.reexports.list(caller, ReexportFilter.model_validate(values))
            return Page([details.reexport for details in page.items], page.next_page_token)
        case OperatorJobKind.BATCH:
            return services.batches.list(caller, BatchFilter.model_validate(values))


def _load_selection(
    services: Services, console: ConsoleServices, caller: Caller, selection: SelectionForm
) -> Sequence[JobRow]:
    now = services.clock()
    return [
        _to_row(console, _find(services, caller, selection.kind, job_id), now, selection.action)
        for job_id in selection.jobs
    ]


def _find(services: Services, caller: Caller, kind: OperatorJobKind, job_id: UUID) -> AnyJob:
    match kind:
        case OperatorJobKind.EXPORT:
            return services.exports.find(caller, job_id).export
        case OperatorJobKind.REEXPORT:
            return services.reexports.find(caller, job_id).reexport
        case OperatorJobKind.BATCH:
            return services.batches.find(caller, job_id).batch


def _to_row(console: ConsoleServices, row: AnyJob, now: datetime, action: str | None) -> JobRow:
    is_possible = row.status in _RETRYABLE if action == "retry" else not row.status.is_final
    run_url = _format_run_url(console, row.job)
    return JobRow(
        row.id, row.org_id, row.status, row.attempt, row.created_at, now - row.created_at, is_possible, run_url
    )


def _format_run_url(console: ConsoleServices, job: Job) -> str | None:
    if console.temporal_runs_url is None:
        return None
    return f"{console.temporal_runs_url}/{quote(job.workflow_id, safe='')}"
