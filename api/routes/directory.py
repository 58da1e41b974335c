"""What a client needs to get going: who it is, and the organisations, mentors and kinds of activity there are."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerOf, Given, GuardedRoute, allowed
from api.paging import id_of, token_after_id, token_refused
from api.schemas.directory import (
    ActivityTypePage,
    Me,
    MentorPage,
    MentorQuery,
    MentorResource,
    OrganisationPage,
    OrganisationResource,
)
from stafett.directory import MentorFilter
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.errors import NotFoundError
from stafett.domain.membership import Permission

router = APIRouter(tags=["Getting going"], route_class=GuardedRoute)


@router.get("/me", operation_id="get_me", dependencies=[allowed(Permission.VIEW_JOBS)])
def me(caller: CallerOf) -> Me:
    """Who you are here."""
    return Me.model_validate(caller)


@router.get("/organisations", operation_id="list_organisations", dependencies=[allowed(Permission.VIEW_JOBS)])
def list_organisations(caller: CallerOf, given: Given) -> OrganisationPage:
    """Your own organisation; for an operator, every one."""
    found = given.organisations.list(caller)
    return OrganisationPage(items=tuple(map(OrganisationResource.model_validate, found)))


@router.get("/activity-types", operation_id="list_activity_types", dependencies=[allowed(Permission.VIEW_JOBS)])
def list_activity_types() -> ActivityTypePage:
    """The kinds of activity, and what it takes for one to count."""
    return ActivityTypePage(items=ACTIVITY_TYPES)


@router.get("/peer-mentors", operation_id="list_peer_mentors", dependencies=[allowed(Permission.READ_ORGANISATION)])
def list_peer_mentors(caller: CallerOf, given: Given, wanted: Annotated[MentorQuery, Query()]) -> MentorPage:
    """The peer mentors of your organisation, by name."""
    asked = wanted.model_dump(exclude={"page_token"})
    after = id_of(wanted.page_token) if wanted.page_token else None
    try:
        found = given.mentors.list(caller, MentorFilter(cursor=after, **asked))
    except NotFoundError:  # who stood at the end of the page before is gone, or is no mentor of yours
        raise token_refused() from None
    shown, more = found[: wanted.page_size], len(found) > wanted.page_size
    items = tuple(map(MentorResource.model_validate, shown))
    return MentorPage(items=items, next_page_token=token_after_id(shown[-1].id) if more else None)
