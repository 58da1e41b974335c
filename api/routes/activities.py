"""``/activities``: what is registered, so that a client can check."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerOf, Given, GuardedRoute, allowed
from api.paging import page_of
from api.schemas.bulk import ActivityPage, ActivityQuery, ActivityResource
from stafett.directory import ActivityFilter
from stafett.domain.membership import Permission

router = APIRouter(prefix="/activities", tags=["Activities"], route_class=GuardedRoute)


@router.get("", operation_id="list_activities", dependencies=[allowed(Permission.READ_ORGANISATION)])
def list_activities(caller: CallerOf, given: Given, wanted: Annotated[ActivityQuery, Query()]) -> ActivityPage:
    """The organisation's activities, the latest first."""
    found = given.activities.list(caller, ActivityFilter(**wanted.wanted))
    shown, token = page_of(found, wanted.page_size, lambda activity: (activity.starts_at, activity.id))
    return ActivityPage(items=tuple(map(ActivityResource.of, shown)), next_page_token=token)
