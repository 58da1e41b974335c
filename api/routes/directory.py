"""What a client needs to get going: who it is, and the organisations, mentors and kinds of activity there are."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.paging import decode_id_cursor, encode_id_cursor, invalid_token_error
from api.schemas.directory import (
    ActivityTypePage,
    Me,
    MentorListQuery,
    MentorPage,
    MentorResource,
    OrganisationPage,
    OrganisationResource,
)
from stafett.directory import MentorFilter
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.errors import NotFoundError
from stafett.domain.membership import Permission

router = APIRouter(tags=["Getting going"], route_class=GuardedRoute)


@router.get("/me", operation_id="get_me", dependencies=[require(Permission.VIEW_JOBS)])
def get_me(caller: CurrentCaller) -> Me:
    """Who you are here."""
    return Me.model_validate(caller)


@router.get("/organisations", operation_id="list_organisations", dependencies=[require(Permission.VIEW_JOBS)])
def list_organisations(caller: CurrentCaller, services: ServicesDep) -> OrganisationPage:
    """Your own organisation; for an operator, every one."""
    found = services.organisations.list(caller)
    return OrganisationPage(items=tuple(map(OrganisationResource.model_validate, found)))


@router.get("/activity-types", operation_id="list_activity_types", dependencies=[require(Permission.VIEW_JOBS)])
def list_activity_types() -> ActivityTypePage:
    """The kinds of activity, and what it takes for one to count."""
    return ActivityTypePage(items=ACTIVITY_TYPES)


@router.get("/peer-mentors", operation_id="list_peer_mentors", dependencies=[require(Permission.READ_ORGANISATION)])
def list_peer_mentors(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[MentorListQuery, Query()]
) -> MentorPage:
    """The peer mentors of your organisation, by name."""
    asked = query.model_dump(exclude={"page_token"})
    after = decode_id_cursor(query.page_token) if query.page_token else None
    try:
        found = services.mentors.list(caller, MentorFilter(cursor=after, **asked))
    except NotFoundError:  # who stood at the end of the page before is gone, or is no mentor of yours
        raise invalid_token_error() from None
    shown, more = found[: query.page_size], len(found) > query.page_size
    items = tuple(map(MentorResource.model_validate, shown))
    return MentorPage(items=items, next_page_token=encode_id_cursor(shown[-1].id) if more else None)
