"""Reference data: the caller and activity types."""

from fastapi import APIRouter

from api.dependencies import CurrentCaller, GuardedRoute, require
from api.schemas.directory import ActivityTypePage, Me
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.membership import Permission

router = APIRouter(tags=["Directory"], route_class=GuardedRoute)


@router.get(
    "/me",
    operation_id="get_me",
    summary="Get the caller",
    description="Get the caller's id, organisation and role.",
    dependencies=[require(Permission.VIEW_JOBS)],
)
def get_me(caller: CurrentCaller) -> Me:
    return Me.model_validate(caller)


@router.get(
    "/activity-types",
    operation_id="list_activity_types",
    summary="List activity types",
    description="List the activity types with their names and counting rules per locale.",
    dependencies=[require(Permission.VIEW_JOBS)],
)
def list_activity_types() -> ActivityTypePage:
    return ActivityTypePage(items=ACTIVITY_TYPES)
