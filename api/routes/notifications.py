"""``/notifications``: what the caller was told."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.paging import split_page
from api.schemas.notifications import NotificationListQuery, NotificationPage, NotificationResource
from stafett.domain.membership import Permission
from stafett.notifications.inbox import NotificationFilter

router = APIRouter(prefix="/notifications", tags=["Notifications"], route_class=GuardedRoute)


@router.get("", operation_id="list_notifications", dependencies=[require(Permission.READ_NOTIFICATIONS)])
def list_notifications(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[NotificationListQuery, Query()]
) -> NotificationPage:
    """The caller's own, newest first, with what became of letters and webhooks."""
    found = services.inbox.list(caller, NotificationFilter(**query.filter_args))
    shown, token = split_page(found, query.page_size, lambda one: (one.notification.created_at, one.notification.id))
    return NotificationPage(items=tuple(map(NotificationResource.from_details, shown)), next_page_token=token)


@router.post(
    "/{notification_id:uuid}/read",
    operation_id="read_notification",
    dependencies=[require(Permission.READ_NOTIFICATIONS)],
)
def read_notification(notification_id: UUID, caller: CurrentCaller, services: ServicesDep) -> NotificationResource:
    """Mark one as read; a second time changes nothing."""
    return NotificationResource.from_details(services.inbox.mark_read(caller, notification_id))
