"""Lists a user's notifications and marks them as read."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple
from uuid import UUID

from pydantic import Field
from sqlalchemy import func, update
from sqlmodel import Session, col, select

from stafett.database.pagination import ListFilter, Page, load_page, select_visible
from stafett.database.session import Database
from stafett.database.tables import Delivery, Notification
from stafett.domain.errors import NotFoundError
from stafett.domain.membership import Caller
from stafett.domain.notification import JobOutcome


class NotificationFilter(ListFilter):
    """Filter of the list of notifications."""

    status: JobOutcome | None = Field(None, description="Only notifications of jobs with this outcome.")
    unread: bool | None = Field(None, description="Only unread, or only read, notifications.")


class NotificationDetails(NamedTuple):
    """A notification with its deliveries."""

    notification: Notification
    deliveries: Sequence[Delivery]


class Inbox:
    """The API's access to the ``notifications`` table; row-level security shows each user only their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: NotificationFilter) -> Page[NotificationDetails]:
        query = select_visible(Notification, caller, filters).where(col(Notification.user_id) == caller.user_id)
        if filters.unread is not None:
            is_unread = col(Notification.read_at).is_(None)
            query = query.where(is_unread if filters.unread else ~is_unread)
        with self._transaction(caller) as session:
            page = load_page(session, Notification, query, filters)
            return Page(_load_details(session, page.items), page.next_page_token)

    def mark_read(self, caller: Caller, notification_id: UUID) -> NotificationDetails:
        """Mark the notification as read; the time of an earlier call stays."""
        unread = update(Notification).where(
            col(Notification.id) == notification_id, col(Notification.read_at).is_(None)
        )
        with self._transaction(caller) as session:
            session.execute(unread.values(read_at=func.clock_timestamp()))
            notification = session.get(Notification, notification_id, populate_existing=True)
            if notification is None:
                raise NotFoundError("There is no such notification.")
            (details,) = _load_details(session, [notification])
            return details

    def _transaction(self, caller: Caller) -> AbstractContextManager[Session]:
        return self._database.transaction(caller.org_id, user_id=caller.user_id)


def _load_details(session: Session, notifications: Sequence[Notification]) -> list[NotificationDetails]:
    ids = [notification.id for notification in notifications]
    deliveries = select(Delivery).where(col(Delivery.notification_id).in_(ids))
    rows = session.exec(deliveries.order_by(col(Delivery.channel), col(Delivery.id))).all()
    return [
        NotificationDetails(notification, [row for row in rows if row.notification_id == notification.id])
        for notification in notifications
    ]
