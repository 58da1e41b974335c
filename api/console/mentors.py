"""The pages of peer mentors: list with search, add, edit and deactivate."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Query, Request, Response

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, Day, FormErrors, InvalidFormError, RevisionForm, parse_id
from api.console.pages import render_page
from api.console.reports import Reader
from api.console.security import SessionForm
from api.console.services import MENTORS_PATH
from api.console.sessions import ActiveSession, MentorManager
from api.dependencies import Services, ServicesDep
from stafett.database.pagination import PageToken
from stafett.database.tables import PeerMentor
from stafett.domain.fields import DisplayName
from stafett.domain.reporting_period import OSLO
from stafett.people.mentors import MentorEdit, MentorFilter, NewMentor, SavedMentor

router = APIRouter(prefix=MENTORS_PATH)
_ACTIVE_BY_CHOICE = {"": None, "yes": True, "no": False}


class MentorForm(ConsoleForm):
    """What an organisation records about a peer mentor. The day of approval is one in Oslo."""

    display_name: DisplayName
    branch: DisplayName | None = None
    approved_on: Day | None = None
    active: Literal["true"] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        approved_at = self.approved_on.isoformat() if self.approved_on else None
        names = {"display_name": self.display_name, "branch": self.branch}
        return names | {"active": self.active is not None, "approved_at": approved_at}


@router.get("")
async def list_mentors(
    request: Request,
    session: Reader,
    services: ServicesDep,
    *,
    q: Annotated[str, Query()] = "",
    branch: Annotated[str, Query()] = "",
    active: Annotated[Literal["", "yes", "no"], Query()] = "",
    page_token: PageToken = None,
) -> Response:
    q, branch = (text.replace("\0", "").strip() for text in (q, branch))
    filters = MentorFilter(
        q=q[:100] or None, branch=branch[:200] or None, active=_ACTIVE_BY_CHOICE[active], page_token=page_token
    )
    page = await run_in_threadpool(services.mentors.list, session.caller, filters)
    branches = await run_in_threadpool(services.mentors.list_branches, session.caller)
    chosen = {"q": q[:100], "branch": branch[:200], "active": active}
    return render_page(
        request,
        "mentors.html",
        session=session,
        mentors=page.items,
        branches=branches if branch in {"", *branches} else [branch, *branches],
        fields=chosen,
        is_filtered=any(chosen.values()),
        next_query=urlencode(chosen | {"page_token": page.next_page_token}) if page.next_page_token else None,
    )


@router.get("/new")
async def show_new_mentor(request: Request, session: MentorManager, services: ServicesDep) -> Response:
    return await _render_form(request, session, services, {"active": "true", "key": str(uuid4())})


@router.post("")
async def add_mentor(request: Request, session: MentorManager, form: SessionForm, services: ServicesDep) -> Response:
    """Add a mentor, or lead to the one that the same page has added already."""
    try:
        mentor = MentorForm.parse(form)
    except InvalidFormError as error:
        return await _render_form(request, session, services, form, errors=error.errors)
    key = f"console-{uuid5(parse_id(form.get('key')) or uuid4(), mentor.model_dump_json())}"
    new = NewMentor.model_validate(mentor.fields | {"org_id": session.org_id})
    return _lead_to(request, await run_in_threadpool(services.mentors.add, session.caller, new, key))


@router.get("/{mentor_id:uuid}")
async def show_mentor(
    request: Request,
    session: Reader,
    services: ServicesDep,
    mentor_id: UUID,
    notice: Annotated[str, Query()] = "",
) -> Response:
    mentor = await run_in_threadpool(services.mentors.find, session.caller, mentor_id)
    return render_page(request, "mentor.html", session=session, mentor=mentor, notice=notice)


@router.get("/{mentor_id:uuid}/edit")
async def show_edit(request: Request, session: MentorManager, services: ServicesDep, mentor_id: UUID) -> Response:
    mentor = await run_in_threadpool(services.mentors.find, session.caller, mentor_id)
    fields = {
        "display_name": mentor.display_name,
        "branch": mentor.branch or "",
        "approved_on": _format_approval(mentor),
        "active": "true" if mentor.active else "",
        "revision": str(mentor.edits),
    }
    return await _render_form(request, session, services, fields, mentor)


@router.post("/{mentor_id:uuid}/edit")
async def edit_mentor(
    request: Request, session: MentorManager, form: SessionForm, services: ServicesDep, mentor_id: UUID
) -> Response:
    """Change the mentor, unless another user has changed it since the page was made."""
    mentor = await run_in_threadpool(services.mentors.find, session.caller, mentor_id)
    try:
        fields = MentorForm.parse(form).fields
    except InvalidFormError as error:
        return await _render_form(request, session, services, form, mentor, error.errors)
    if fields["approved_at"] == (_format_approval(mentor) or None):
        del fields["approved_at"]  # the form has the day only, and the stored time stays
    return await _edit(request, session, services, mentor_id, form, fields)


@router.post("/{mentor_id:uuid}/activity")
async def change_activity(
    request: Request, session: MentorManager, form: SessionForm, services: ServicesDep, mentor_id: UUID
) -> Response:
    """Activate or deactivate the mentor."""
    return await _edit(request, session, services, mentor_id, form, {"active": form.get("active") == "true"})


async def _edit(
    request: Request,
    session: ActiveSession,
    services: Services,
    mentor_id: UUID,
    form: Mapping[str, str],
    values: Mapping[str, Any],
) -> Response:
    edit, revisions = MentorEdit.model_validate(values), {RevisionForm.parse(form).revision}
    return _lead_to(request, await run_in_threadpool(services.mentors.edit, session.caller, mentor_id, edit, revisions))


def _lead_to(request: Request, saved: SavedMentor) -> Response:
    notice = "same_name" if saved.same_name else "saved"
    return redirect(request, f"{MENTORS_PATH}/{saved.mentor.id}?notice={notice}")


def _format_approval(mentor: PeerMentor) -> str:
    return mentor.approved_at.astimezone(OSLO).date().isoformat() if mentor.approved_at else ""


async def _render_form(
    request: Request,
    session: ActiveSession,
    services: Services,
    fields: Mapping[str, str],
    mentor: PeerMentor | None = None,
    errors: FormErrors | None = None,
) -> Response:
    names = (*MentorForm.model_fields, "key", "revision")
    path = f"{MENTORS_PATH}/{mentor.id}/edit" if mentor else f"{MENTORS_PATH}/new"
    return render_page(
        request,
        "mentor_form.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=path,
        mentor=mentor,
        branches=await run_in_threadpool(services.mentors.list_branches, session.caller),
        fields={name: fields.get(name, "") for name in names},
        errors=errors,
    )
