"""``/activities``: what is registered, so that a client can check."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.paging import split_page
from api.schemas.bulk import ActivityListQuery, ActivityPage, ActivityResource
from stafett.directory import ActivityFilter
from stafett.domain.membership import Permission

router = APIRouter(prefix="/activities", tags=["Activities"], route_class=GuardedRoute)


@router.get("", operation_id="list_activities", dependencies=[require(Permission.READ_ORGANISATION)])
def list_activities(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[ActivityListQuery, Query()]
) -> ActivityPage:
    """The organisation's activities, the latest first."""
    found = services.activities.list(caller, ActivityFilter(**query.filter_args))
    shown, token = split_page(found, query.page_size, lambda activity: (activity.starts_at, activity.id))
    return ActivityPage(items=tuple(map(ActivityResource.from_row, shown)), next_page_token=token)
