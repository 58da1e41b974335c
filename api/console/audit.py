"""The organisation's whole audit trail, with filters and as CSV, and the result of its last verification."""

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any, Self
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field, StringConstraints, model_validator

from api.audit_csv import respond_with_audit_csv
from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, Day, FormErrors, InvalidFormError, create_field_error, parse_id
from api.console.pages import render_page
from api.console.security import SessionForm, create_page_headers
from api.console.services import CONSOLE_PATH
from api.console.sessions import ActiveSession, CurrentSession
from api.dependencies import Services, ServicesDep
from api.schemas.audit import EVENT_PATTERN
from stafett.audit.events import AuditTrailFilter
from stafett.audit.names import find_actor_id
from stafett.database.pagination import PageToken
from stafett.database.tables import AuditEvent
from stafett.domain.reporting_period import to_first_instant, to_last_instant

_PATH = f"{CONSOLE_PATH}/audit"
_ID_PATTERN = r"^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{1,4}){0,6}$"
"""An id, or at least its first eight digits."""

_ACTOR_PREFIX_PATTERN = r"^((user|api_key|system):)?[a-z0-9-]{1,60}$"
_ID_FIELDS = ("report_id", "export_id", "corrects")
"""Details of events that are ids of jobs and reports."""

router = APIRouter(prefix=_PATH)


class AuditTrailForm(ConsoleForm):
    """The filters of the audit trail."""

    job: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=_ID_PATTERN)] | None = None
    actor: Annotated[str, Field(pattern=_ACTOR_PREFIX_PATTERN)] | None = None
    event: Annotated[str, Field(pattern=EVENT_PATTERN)] | None = None
    start: Day | None = None
    end: Day | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.start and self.end and self.end < self.start:
            raise create_field_error("end", "period_order")
        return self

    def to_filter(self, page_token: str | None = None) -> AuditTrailFilter:
        return AuditTrailFilter(
            subject_id_prefix=self.job and self.job.replace("-", ""),
            actor_prefix=self.actor,
            event=self.event,
            at_or_after=to_first_instant(self.start) if self.start else None,
            at_or_before=to_last_instant(self.end) if self.end else None,
            page_token=page_token,
        )


@router.get("")
async def show_audit_trail(
    request: Request, session: CurrentSession, services: ServicesDep, page_token: PageToken = None
) -> Response:
    fields = _read_fields(request)
    try:
        form, errors = AuditTrailForm.parse(fields), None
    except InvalidFormError as error:
        form, errors = AuditTrailForm(), error.errors
    values = await run_in_threadpool(_load_page, session, services, form.to_filter(page_token), errors)
    return render_page(
        request,
        "audit.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        fields=dict.fromkeys(AuditTrailForm.model_fields, "") | fields,
        filter_query=urlencode(fields),
        errors=errors,
        **values,
    )


@router.post("/verification")
async def request_verification(
    request: Request, session: CurrentSession, _form: SessionForm, services: ServicesDep
) -> Response:
    """Let a worker verify the whole audit trail, which can take minutes; the page shows the result when it is there."""
    await run_in_threadpool(services.audit_trail.request_verification, session.caller)
    services.dispatcher.verify_audit_chains()
    return redirect(request, _PATH)


@router.get("/events.csv")
async def download_audit_trail(request: Request, session: CurrentSession, services: ServicesDep) -> Response:
    filters = AuditTrailForm.parse(_read_fields(request)).to_filter()
    return await respond_with_audit_csv(services, session.caller, filters, create_page_headers(session))


def _read_fields(request: Request) -> dict[str, str]:
    parameters = request.query_params
    return {name: parameters[name].strip() for name in AuditTrailForm.model_fields if parameters.get(name, "").strip()}


def _load_page(
    session: ActiveSession, services: Services, filters: AuditTrailFilter, errors: FormErrors | None
) -> dict[str, Any]:
    audit_trail, caller = services.audit_trail, session.caller
    names, verification = audit_trail.list_event_names(caller), audit_trail.find_verification(caller)
    verification_request = audit_trail.find_verification_request(caller)
    page = None if errors else audit_trail.list_events(caller, filters)
    ids = set(chain.from_iterable(map(_list_ids, page.items))) if page else set[UUID]()
    return {
        "names": services.audit_names.load(caller, ids),
        "titles": services.job_titles.load(caller, ids),
        "events": page.items if page else (),
        "next_page_token": page and page.next_page_token,
        "event_names": names,
        "verification": verification,
        "verification_request": verification_request,
    }


def _list_ids(event: AuditEvent) -> Iterator[UUID]:
    """Yield the ids for which the page shows names: of the subject, of the actor, and in the details."""
    yield event.subject_id
    texts = (str(event.detail[name]) for name in _ID_FIELDS if name in event.detail)
    yield from filter(None, (find_actor_id(event.actor), *map(parse_id, texts)))
