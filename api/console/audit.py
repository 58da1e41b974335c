"""The organisation's whole audit trail, with filters and as CSV, and the result of its last verification."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Self
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, model_validator

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, Day, FormErrors, InvalidFormError, create_field_error
from api.console.pages import render_page
from api.console.security import SessionForm, create_page_headers
from api.console.services import CONSOLE_PATH
from api.console.sessions import ActiveSession, CurrentSession
from api.dependencies import Services, ServicesDep
from stafett.audit.events import AuditTrailFilter
from stafett.database.pagination import PageToken
from stafett.database.tables import AuditEvent
from stafett.domain.reporting_period import to_first_instant, to_last_instant

_PATH = f"{CONSOLE_PATH}/audit"
router = APIRouter(prefix=_PATH)
_COLUMNS = ("seq", "at", "actor", "event", "subject_kind", "subject_id", "status", "detail", "hash", "previous_hash")
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


class AuditTrailForm(ConsoleForm):
    """The filters of the audit trail."""

    job: UUID | None = None
    actor: Annotated[str, Field(pattern=r"^(user|api_key|system):[a-z0-9-]{1,60}$")] | None = None
    event: Annotated[str, Field(pattern=r"^[a-z_]{1,60}$")] | None = None
    start: Day | None = None
    end: Day | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.start and self.end and self.end < self.start:
            raise create_field_error("end", "period_order")
        return self

    def to_filter(self, page_token: str | None = None) -> AuditTrailFilter:
        return AuditTrailFilter(
            subject_id=self.job,
            actor=self.actor,
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
    pages = services.audit_trail.iterate_pages(session.caller, filters)
    first = await run_in_threadpool(next, pages)  # refuses before the response starts
    headers = create_page_headers(session) | {"Content-Disposition": 'attachment; filename="audit-events.csv"'}
    return StreamingResponse(_stream_csv(first, pages), media_type="text/csv", headers=headers)


def _read_fields(request: Request) -> dict[str, str]:
    parameters = request.query_params
    return {name: parameters[name].strip() for name in AuditTrailForm.model_fields if parameters.get(name, "").strip()}


def _load_page(
    session: ActiveSession, services: Services, filters: AuditTrailFilter, errors: FormErrors | None
) -> dict[str, Any]:
    audit_trail, caller = services.audit_trail, session.caller
    names, verification = audit_trail.list_event_names(caller), audit_trail.find_verification(caller)
    verification_request = audit_trail.find_verification_request(caller)
    events: Sequence[AuditEvent] = ()
    next_page_token = None
    if not errors:
        events, next_page_token = audit_trail.list_events(caller, filters)
    return {
        "events": events,
        "next_page_token": next_page_token,
        "event_names": names,
        "verification": verification,
        "verification_request": verification_request,
    }


async def _stream_csv(first: Sequence[AuditEvent], pages: Iterator[Sequence[AuditEvent]]) -> AsyncIterator[str]:
    yield _BYTE_ORDER_MARK + _render_rows([_COLUMNS])
    page: Sequence[AuditEvent] | None = first
    while page is not None:
        yield _render_rows(_to_row(event) for event in page)
        page = await run_in_threadpool(next, pages, None)


def _render_rows(rows: Any) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=";", lineterminator="\r\n").writerows(rows)
    return file.getvalue()


def _to_row(event: AuditEvent) -> tuple[object, ...]:
    """Return ids, codes and numbers only, none of which a spreadsheet program reads as a formula."""
    at, detail = event.at.isoformat(), json.dumps(event.detail, sort_keys=True, ensure_ascii=False)
    identity = (event.seq, at, event.actor, event.event, event.subject_kind, event.subject_id, event.status or "")
    return (*identity, detail, event.hash, event.previous_hash)
