"""What goes over the wire about telling people: notifications, webhooks, deliveries."""

from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from api.paging import ListQuery
from api.schemas.exports import Resource
from stafett.database.tables import Webhook
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.notification import Channel, DeliveryState, JobOutcome, JobType
from stafett.notifications.inbox import NotificationDetails
from stafett.webhooks.destinations import MAX_URL_LENGTH
from stafett.webhooks.service import IssuedSecret, WebhookDetails

WebhookStatus = Literal["active", "disabled"]


class NotificationListQuery(ListQuery):
    """Which notifications a list shows."""

    status: JobOutcome | None = None
    unread: bool | None = None


class WebhookListQuery(ListQuery):
    """Which webhooks a list shows."""

    status: WebhookStatus | None = None


class WebhookCreate(FrozenModel):
    """The body that adds a webhook."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://nhf.example/stafett"}]})

    org_id: OrgId | None = Field(None, description="The caller's own, unless it is said.")
    url: str = Field(min_length=1, max_length=MAX_URL_LENGTH, json_schema_extra={"format": "uri"})
    description: str | None = Field(None, max_length=200)


class DeliveryStatus(Resource):
    """What became of one way of telling."""

    channel: Channel
    state: DeliveryState
    attempts: int
    last_error: str | None


class NotificationSubject(Resource):
    """What a notification is about."""

    kind: JobType
    id: UUID


class NotificationResource(Resource):
    """That something has ended."""

    id: UUID
    org_id: str
    kind: str
    subject: NotificationSubject
    attempt: int
    status: JobOutcome
    created_at: AwareDatetime
    read_at: AwareDatetime | None
    deliveries: tuple[DeliveryStatus, ...]

    @classmethod
    def from_details(cls, details: NotificationDetails) -> Self:
        notification = details.notification
        subject = {"kind": notification.subject_kind, "id": notification.subject_id}
        return cls.model_validate(notification.model_dump() | {"subject": subject, "deliveries": details.deliveries})


class NotificationPage(Resource):
    """One page of a list, newest first."""

    items: tuple[NotificationResource, ...]
    next_page_token: str | None = None


class DeliveryResource(DeliveryStatus):
    """One message to a webhook; without a notification it is a test."""

    id: UUID
    notification_id: UUID | None
    created_at: AwareDatetime
    last_tried_at: AwareDatetime | None
    settled_at: AwareDatetime | None


class WebhookResource(Resource):
    """A webhook; its secret is shown once, when it is added."""

    id: UUID
    org_id: str
    url: str
    description: str | None
    status: WebhookStatus
    created_by: UUID
    created_at: AwareDatetime
    disabled_at: AwareDatetime | None

    @classmethod
    def from_row(cls, webhook: Webhook, **extra: object) -> Self:
        status = "active" if webhook.disabled_at is None else "disabled"
        return cls.model_validate(webhook.model_dump() | {"status": status} | extra)


class WebhookWithSecret(WebhookResource):
    """With the secret that its messages are signed with."""

    secret: str

    @classmethod
    def from_added_webhook(cls, added: IssuedSecret) -> Self:
        return cls.from_row(added.webhook, secret=added.secret)


class WebhookWithDeliveries(WebhookResource):
    """With its latest deliveries, newest first."""

    deliveries: tuple[DeliveryResource, ...]

    @classmethod
    def from_details(cls, details: WebhookDetails) -> Self:
        return cls.from_row(details.webhook, deliveries=details.deliveries)


class WebhookPage(Resource):
    """One page of a list, newest first."""

    items: tuple[WebhookResource, ...]
    next_page_token: str | None = None
