"""``/activities``: the activities of an organisation."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID
from zlib import crc32

from fastapi import APIRouter, Header, Path, Query, Response

from api.concurrency import limit_large_lists
from api.dependencies import CurrentCaller, GuardedRoute, Services, ServicesDep, require
from api.etags import format_etag, is_unchanged, parse_if_match
from api.headers import IfMatchHeader, IfNoneMatchHeader
from api.openapi import raises
from api.schemas.bulk import ActivityPage, ActivityResource
from stafett.bulk.activities import ActivityDetails, ActivityFilter
from stafett.domain.errors import OverlappingActivityError
from stafett.domain.membership import Caller, Permission
from stafett.domain.proxy_activity import ActivityCorrection

router = APIRouter(prefix="/activities", tags=["Activities"], route_class=GuardedRoute)
ActivityId = Annotated[UUID, Path(description="Id of the activity.")]


def _find_activity(services: Services, caller: Caller, activity_id: UUID) -> None:
    services.activities.find(caller, activity_id)


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
    return ActivityPage(items=tuple(map(ActivityResource.from_details, activities)), next_page_token=token)


@router.get(
    "/{activity_id:uuid}",
    operation_id="get_activity",
    summary="Get an activity",
    description="Get an activity with the entity tag that a correction needs.",
    dependencies=[require(Permission.READ_ORGANISATION)],
)
def get_activity(
    activity_id: ActivityId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_none_match: IfNoneMatchHeader = None,
) -> ActivityResource | None:
    details = services.activities.find(caller, activity_id)
    response.headers["ETag"] = _format_activity_etag(details)
    if is_unchanged(response.headers["ETag"], if_none_match):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return ActivityResource.from_details(details)


@router.put(
    "/{activity_id:uuid}",
    operation_id="correct_activity",
    summary="Correct an activity",
    description=(
        "Correct fields of an activity, by the rules of a registration. An activity whose start is corrected keeps its "
        "duration. Files of reports do not change: a re-export from `current_data` contains the correction."
    ),
    dependencies=[require(Permission.CORRECT_ACTIVITIES, _find_activity)],
    openapi_extra=raises(OverlappingActivityError),
)
def correct_activity(
    activity_id: ActivityId,
    body: ActivityCorrection,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    if_match: IfMatchHeader = None,
) -> ActivityResource:
    details = services.activities.correct(caller, activity_id, body, parse_if_match(if_match))
    response.headers["ETag"] = _format_activity_etag(details)
    return ActivityResource.from_details(details)


@router.delete(
    "/{activity_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="delete_activity",
    summary="Delete an activity",
    description=(
        "Delete an activity that was registered by mistake. Files of reports do not change, and the item of a batch "
        "keeps naming the activity."
    ),
    dependencies=[require(Permission.CORRECT_ACTIVITIES, _find_activity)],
)
def delete_activity(
    activity_id: ActivityId,
    caller: CurrentCaller,
    services: ServicesDep,
    if_match: Annotated[
        str | None, Header(description="Deletes the activity only if it still has this entity tag.")
    ] = None,
) -> None:
    services.activities.delete(caller, activity_id, parse_if_match(if_match))


def _format_activity_etag(details: ActivityDetails) -> str:
    """Format the tag, in which another name of the mentor is a change that invalidates no correction."""
    return format_etag(details.activity.edits, crc32(details.mentor_name.encode()), None)
