"""``/activities``: the activities of an organisation."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.concurrency import limit_large_lists
from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.paging import split_page
from api.schemas.bulk import ActivityListQuery, ActivityPage, ActivityResource
from stafett.directory import ActivityFilter
from stafett.domain.membership import Permission

router = APIRouter(prefix="/activities", tags=["Activities"], route_class=GuardedRoute)


@router.get(
    "",
    operation_id="list_activities",
    summary="List activities",
    description="List the organisation's activities, latest start first, for example those of a batch.",
    dependencies=[require(Permission.READ_ORGANISATION), limit_large_lists()],
)
def list_activities(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[ActivityListQuery, Query()]
) -> ActivityPage:
    activities = services.activities.list(caller, ActivityFilter(**query.filter_args))
    page, token = split_page(activities, query.page_size, lambda activity: (activity.starts_at, activity.id))
    return ActivityPage(items=tuple(map(ActivityResource.from_row, page)), next_page_token=token)
