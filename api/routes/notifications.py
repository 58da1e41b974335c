"""``/notifications``: the caller's notifications."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from api.concurrency import limit_large_lists
from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.schemas.notifications import NotificationPage, NotificationResource
from stafett.domain.membership import Permission
from stafett.notifications.inbox import NotificationFilter

router = APIRouter(prefix="/notifications", tags=["Notifications"], route_class=GuardedRoute)
NotificationId = Annotated[UUID, Path(description="Id of the notification.")]


@router.get(
    "",
    operation_id="list_notifications",
    summary="List notifications",
    description="List the caller's notifications with the state of their deliveries, newest first.",
    dependencies=[require(Permission.READ_NOTIFICATIONS), limit_large_lists()],
)
def list_notifications(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[NotificationFilter, Query()]
) -> NotificationPage:
    notifications, token = services.inbox.list(caller, query)
    return NotificationPage(items=tuple(map(NotificationResource.from_details, notifications)), next_page_token=token)


@router.post(
    "/{notification_id:uuid}/read",
    operation_id="read_notification",
    summary="Mark a notification as read",
    description="Mark a notification as read. Repeating the request has no effect.",
    dependencies=[require(Permission.READ_NOTIFICATIONS)],
)
def read_notification(
    notification_id: NotificationId, caller: CurrentCaller, services: ServicesDep
) -> NotificationResource:
    return NotificationResource.from_details(services.inbox.mark_read(caller, notification_id))
