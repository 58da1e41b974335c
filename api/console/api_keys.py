"""The pages of API keys: list, make with the secret shown once, and revoke."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, StringConstraints

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, FormErrors, InvalidFormError, parse_id
from api.console.pages import render_page
from api.console.security import SessionForm
from api.console.services import ADMIN_PATH
from api.console.sessions import ActiveSession, Administrator
from api.dependencies import Services, ServicesDep
from api.schemas.people import ApiKeyResource
from stafett.database.pagination import ListFilter, PageToken
from stafett.domain.errors import AlreadyExistsError
from stafett.domain.fields import ONE_LINE
from stafett.domain.membership import MemberRole, Role
from stafett.domain.reporting_period import OSLO
from stafett.people.api_keys import NewApiKey

_PATH = f"{ADMIN_PATH}/api-keys"
router = APIRouter(prefix=_PATH)


class KeyForm(ConsoleForm):
    """A key to make. It expires at a midnight in Oslo, so that the same form sent twice is the same request."""

    name: Annotated[str, StringConstraints(strip_whitespace=True), Field(min_length=1, max_length=100), ONE_LINE]
    role: MemberRole
    days: Literal["30", "90", "180", "365"]


@router.get("")
async def list_keys(
    request: Request,
    session: Administrator,
    services: ServicesDep,
    page_token: PageToken = None,
    notice: Annotated[str, Query()] = "",
) -> Response:
    filters = ListFilter(page_token=page_token)
    page = await run_in_threadpool(services.api_keys.list, session.caller, session.org_id, filters)
    return render_page(
        request,
        "api_keys.html",
        session=session,
        keys=[ApiKeyResource.from_row(key) for key in page.items],
        next_page_token=page.next_page_token,
        now=services.clock(),
        notice=notice,
    )


@router.get("/new")
async def show_new_key(request: Request, session: Administrator) -> Response:
    return _render_form(request, session, {"role": Role.COORDINATOR, "days": "90", "page": str(uuid4())})


@router.post("")
async def make_key(request: Request, session: Administrator, form: SessionForm, services: ServicesDep) -> Response:
    """Make the key and show its secret. A second press makes no second key, and shows no secret."""
    try:
        fields = KeyForm.parse(form)
    except InvalidFormError as error:
        return _render_form(request, session, form, error.errors)
    expires_at = _find_expiry(services, int(fields.days))
    new = NewApiKey(name=fields.name, role=fields.role, expires_at=expires_at)
    key = f"console-{uuid5(parse_id(form.get('page')) or uuid4(), new.model_dump_json())}"
    secret, status = None, HTTPStatus.CREATED
    try:
        issued = await run_in_threadpool(services.api_keys.make, session.caller, session.org_id, new, key)
        secret = issued.secret
    except AlreadyExistsError:
        status = HTTPStatus.CONFLICT
    return render_page(
        request, "secret.html", session=session, status=status, address=_PATH, back=_PATH, kind="api_key", secret=secret
    )


@router.get("/{key_id:uuid}/revoke")
async def confirm_revocation(request: Request, session: Administrator, services: ServicesDep, key_id: UUID) -> Response:
    key = await run_in_threadpool(services.api_keys.find, session.caller, session.org_id, key_id)
    return render_page(
        request,
        "confirm_administration.html",
        session=session,
        action="revoke_api_key",
        name=key.name,
        back=_PATH,
    )


@router.post("/{key_id:uuid}/revoke")
async def revoke_key(
    request: Request, session: Administrator, _form: SessionForm, services: ServicesDep, key_id: UUID
) -> Response:
    await run_in_threadpool(services.api_keys.revoke, session.caller, session.org_id, key_id)
    return redirect(request, f"{_PATH}?notice=revoked")


def _find_expiry(services: Services, days: int) -> datetime:
    today = services.clock().astimezone(OSLO).date()
    return datetime.combine(today + timedelta(days=days), time(), OSLO)


def _render_form(
    request: Request, session: ActiveSession, fields: Mapping[str, str], errors: FormErrors | None = None
) -> Response:
    return render_page(
        request,
        "new_api_key.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{_PATH}/new",
        fields={name: fields.get(name, "") for name in (*KeyForm.model_fields, "page")},
        errors=errors,
    )
