"""The pages of members: list, invitation, role and removal."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, FormErrors, InvalidFormError
from api.console.pages import render_page
from api.console.security import SessionForm
from api.console.services import ADMIN_PATH, CONSOLE_PATH
from api.console.sessions import ActiveSession, Administrator
from api.dependencies import Services, ServicesDep
from api.schemas.people import MemberResource
from stafett.database.pagination import ListFilter, PageToken
from stafett.domain.errors import AlreadyExistsError, LastAdminError
from stafett.domain.fields import DisplayName
from stafett.domain.membership import MemberRole, Role
from stafett.domain.notification import NotificationJob
from stafett.people.members import Address, NewMember

_PATH = f"{ADMIN_PATH}/members"
router = APIRouter(prefix=_PATH)


class RoleForm(ConsoleForm):
    role: MemberRole


class InvitationForm(ConsoleForm):
    """A member to invite, in the order of the page. The name is used only if the address is new."""

    address: Annotated[Address, BeforeValidator(str.strip)]
    display_name: DisplayName | None = None
    role: MemberRole


@router.get("")
async def list_members(
    request: Request,
    session: Administrator,
    services: ServicesDep,
    page_token: PageToken = None,
    notice: Annotated[str, Query()] = "",
) -> Response:
    filters = ListFilter(page_token=page_token)
    page = await run_in_threadpool(services.members.list, session.caller, session.org_id, filters)
    members = [MemberResource.from_details(details) for details in page.items]
    token = page.next_page_token
    return render_page(request, "members.html", session=session, members=members, next_page_token=token, notice=notice)


@router.get("/new")
async def show_invitation(request: Request, session: Administrator) -> Response:
    return _render_invitation(request, session, {"role": Role.COORDINATOR})


@router.post("")
async def invite_member(request: Request, session: Administrator, form: SessionForm, services: ServicesDep) -> Response:
    """Add a member and send the invitation. A repeat sends no second one."""
    try:
        new = NewMember.model_validate(InvitationForm.parse(form).model_dump())
    except InvalidFormError as error:
        return _render_invitation(request, session, form, error.errors)
    try:
        invited = await run_in_threadpool(services.members.invite, session.caller, session.org_id, new)
    except AlreadyExistsError:
        return _render_invitation(request, session, form, {"address": "address_taken"})
    invitation = invited.invitation
    services.dispatcher.start(NotificationJob(org_id=invitation.org_id, subject_id=invitation.id))
    return redirect(request, f"{_PATH}?notice=invited")


@router.get("/{user_id:uuid}")
async def show_member(request: Request, session: Administrator, services: ServicesDep, user_id: UUID) -> Response:
    return await _render_member(request, session, services, user_id)


@router.post("/{user_id:uuid}/role")
async def change_role(
    request: Request, session: Administrator, form: SessionForm, services: ServicesDep, user_id: UUID
) -> Response:
    try:
        role = RoleForm.parse(form).role
    except InvalidFormError as error:
        return await _render_member(request, session, services, user_id, error.errors)
    try:
        await run_in_threadpool(services.members.change_role, session.caller, session.org_id, user_id, role)
    except LastAdminError:
        return await _render_member(request, session, services, user_id, {"role": "last_admin"})
    can_continue = user_id != session.user_id or role is Role.ADMIN
    return redirect(request, f"{_PATH}?notice=role_changed" if can_continue else CONSOLE_PATH)


@router.get("/{user_id:uuid}/remove")
async def confirm_removal(request: Request, session: Administrator, services: ServicesDep, user_id: UUID) -> Response:
    details = await run_in_threadpool(services.members.find, session.caller, session.org_id, user_id)
    return render_page(
        request,
        "confirm_administration.html",
        session=session,
        action="remove_member",
        name=details.user.display_name,
        back=f"{_PATH}/{user_id}",
    )


@router.post("/{user_id:uuid}/remove")
async def remove_member(
    request: Request, session: Administrator, _form: SessionForm, services: ServicesDep, user_id: UUID
) -> Response:
    try:
        await run_in_threadpool(services.members.remove, session.caller, session.org_id, user_id)
    except LastAdminError:
        return await _render_member(request, session, services, user_id, {"role": "last_admin"})
    return redirect(request, f"{_PATH}?notice=removed")


def _render_invitation(
    request: Request, session: ActiveSession, fields: Mapping[str, str], errors: FormErrors | None = None
) -> Response:
    return render_page(
        request,
        "invite_member.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{_PATH}/new",
        fields={name: fields.get(name, "") for name in InvitationForm.model_fields},
        errors=errors,
    )


async def _render_member(
    request: Request,
    session: ActiveSession,
    services: Services,
    user_id: UUID,
    errors: FormErrors | None = None,
) -> Response:
    details = await run_in_threadpool(services.members.find, session.caller, session.org_id, user_id)
    return render_page(
        request,
        "member.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{_PATH}/{user_id}",
        member=MemberResource.from_details(details),
        errors=errors,
    )
