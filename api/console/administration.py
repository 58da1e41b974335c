"""The start of the administration, the organisation's name, and how a person is erased."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, FormErrors, InvalidFormError
from api.console.pages import render_page
from api.console.security import SessionForm
from api.console.services import ADMIN_PATH
from api.console.sessions import ActiveSession, Administrator
from api.dependencies import ServicesDep
from stafett.domain.fields import DisplayName
from stafett.domain.membership import Caller
from stafett.erasure.mentor_data import count_mentor_data
from stafett.people.organisations import OrganisationService

router = APIRouter(prefix=ADMIN_PATH)


class OrganisationForm(ConsoleForm):
    name: DisplayName


@router.get("")
async def show_administration(request: Request, session: Administrator, services: ServicesDep) -> Response:
    name = await run_in_threadpool(_load_name, services.organisations, session.caller)
    return render_page(request, "administration.html", session=session, name=name)


@router.get("/organisation")
async def show_organisation(request: Request, session: Administrator, services: ServicesDep) -> Response:
    name = await run_in_threadpool(_load_name, services.organisations, session.caller)
    return _render_organisation(request, session, {"name": name})


@router.post("/organisation")
async def rename_organisation(
    request: Request, session: Administrator, form: SessionForm, services: ServicesDep
) -> Response:
    try:
        name = OrganisationForm.parse(form).name
    except InvalidFormError as error:
        return _render_organisation(request, session, form, error.errors)
    services.organisations.authorise_rename(session.caller, session.org_id)
    await run_in_threadpool(services.organisations.rename, session.caller.actor, session.org_id, name)
    return redirect(request, ADMIN_PATH)


@router.get("/erasure")
async def explain_erasure(
    request: Request,
    session: Administrator,
    services: ServicesDep,
    mentor: Annotated[UUID | None, Query()] = None,
    user: Annotated[UUID | None, Query()] = None,
) -> Response:
    """Show how the operator erases a person: only the owner of the database can, and no user of the console is that.

    For one of the organisation's mentors, the page counts what the erasure concerns.
    """
    data = None
    if mentor is not None:
        data = await run_in_threadpool(count_mentor_data, services.database, session.caller, session.org_id, mentor)
    return render_page(request, "erasure.html", session=session, mentor=mentor, user=user, data=data)


def _load_name(organisations: OrganisationService, caller: Caller) -> str:
    (organisation,) = organisations.list(caller)
    return organisation.name


def _render_organisation(
    request: Request, session: ActiveSession, fields: Mapping[str, str], errors: FormErrors | None = None
) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
    values = {"name": fields.get("name", "")}
    return render_page(request, "organisation_name.html", session=session, status=status, fields=values, errors=errors)
