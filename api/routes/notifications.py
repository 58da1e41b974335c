"""``/notifications``: what the caller was told."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.dependencies import CallerOf, Given, GuardedRoute, allowed
from api.paging import page_of
from api.schemas.notifications import NotificationPage, NotificationQuery, NotificationResource
from stafett.domain.membership import Permission
from stafett.notifications.inbox import NotificationFilter

router = APIRouter(prefix="/notifications", tags=["Notifications"], route_class=GuardedRoute)


@router.get("", operation_id="list_notifications", dependencies=[allowed(Permission.READ_NOTIFICATIONS)])
def list_notifications(
    caller: CallerOf, given: Given, wanted: Annotated[NotificationQuery, Query()]
) -> NotificationPage:
    """The caller's own, newest first, with what became of letters and webhooks."""
    found = given.inbox.list(caller, NotificationFilter(**wanted.wanted))
    shown, token = page_of(found, wanted.page_size, lambda one: (one.notification.created_at, one.notification.id))
    return NotificationPage(items=tuple(map(NotificationResource.of, shown)), next_page_token=token)


@router.post(
    "/{notification_id:uuid}/read",
    operation_id="read_notification",
    dependencies=[allowed(Permission.READ_NOTIFICATIONS)],
)
def read(notification_id: UUID, caller: CallerOf, given: Given) -> NotificationResource:
    """Mark one as read; a second time changes nothing."""
    return NotificationResource.of(given.inbox.mark_read(caller, notification_id))
