"""``/activities``: the activities of an organisation."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.concurrency import limit_large_lists
from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.schemas.bulk import ActivityPage, ActivityResource
from stafett.bulk.activities import ActivityFilter
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
    caller: CurrentCaller, services: ServicesDep, query: Annotated[ActivityFilter, Query()]
) -> ActivityPage:
    activities, token = services.activities.list(caller, query)
    return ActivityPage(items=tuple(map(ActivityResource.from_row, activities)), next_page_token=token)
