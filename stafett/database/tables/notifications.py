"""Notifications, webhooks and deliveries."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, DEFAULT_ZERO, StrEnumType
from stafett.domain.notification import Channel, DeliveryState, JobOutcome, JobType


def _webhook_foreign_key() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["org_id", "webhook_id"], ["webhooks.org_id", "webhooks.id"])


class Notification(SQLModel, table=True):
    """A notification about a finished job for the user who requested it."""

    __tablename__ = "notifications"
    __table_args__ = (
        Index("notifications_of_org", "org_id", "id", unique=True),
        Index("notifications_once_per_attempt", "org_id", "subject_id", "attempt", unique=True),
        Index("notifications_by_user_created_at", "org_id", "user_id", text("created_at DESC"), text("id DESC")),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    user_id: UUID = Field(foreign_key="users.id")
    kind: str
    subject_kind: JobType = Field(sa_type=StrEnumType(JobType))
    subject_id: UUID
    attempt: int
    status: JobOutcome = Field(sa_type=StrEnumType(JobOutcome))
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    read_at: datetime | None = None


class Webhook(SQLModel, table=True):
    """A URL of an organisation that receives a message when one of its jobs finishes."""

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("webhooks_of_org", "org_id", "id", unique=True),
        Index(
            "webhooks_by_org_created_at",
            "org_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    url: str
    description: str | None = None
    created_by: UUID = Field(foreign_key="users.id")
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    disabled_at: datetime | None = None
    deleted_at: datetime | None = None


class WebhookSecret(SQLModel, table=True):
    """The signing secret of a webhook, which the API can only write and only workers can read."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (_webhook_foreign_key(),)

    webhook_id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    secret: str
    previous_secret: str | None = None
    previous_expires_at: datetime | None = None


class Delivery(SQLModel, table=True):
    """A message to one receiver. The row is the only storage of the delivery's state."""

    __tablename__ = "deliveries"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "notification_id"], ["notifications.org_id", "notifications.id"]),
        _webhook_foreign_key(),
        Index("deliveries_of_notification", "org_id", "notification_id"),
        Index("deliveries_of_webhook", "org_id", "webhook_id", text("created_at DESC"), text("id DESC")),
        Index("deliveries_open", "created_at", "id", postgresql_where=text("state IN ('pending', 'failed')")),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    notification_id: UUID | None = None
    webhook_id: UUID | None = None
    invited_user_id: UUID | None = Field(default=None, foreign_key="users.id")
    channel: Channel = Field(sa_type=StrEnumType(Channel))
    state: DeliveryState = Field(default=DeliveryState.PENDING, sa_type=StrEnumType(DeliveryState))
    attempts: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    failures: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    last_error: str | None = None
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    last_tried_at: datetime | None = None
    settled_at: datetime | None = None
