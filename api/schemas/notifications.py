"""Requests and responses for notifications, webhooks and deliveries."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from api.schemas.exports import NextPageToken, Resource
from stafett.database.tables import Webhook
from stafett.domain.export import OrgId
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel
from stafett.domain.notification import Channel, DeliveryState, JobOutcome, JobType
from stafett.notifications.inbox import NotificationDetails
from stafett.webhooks.destinations import MAX_URL_LENGTH
from stafett.webhooks.service import IssuedSecret, WebhookDetails, WebhookStatus


class WebhookCreate(FrozenModel):
    """The body of `POST /webhooks`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://nhf.example/stafett"}]})

    org_id: OrgId | None = Field(None, description="Id of the organisation. The default is the caller's own.")
    url: str = Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="HTTPS URL of the receiver. Private and other non-public addresses are refused.",
        json_schema_extra={"format": "uri"},
    )
    description: Annotated[str, StringConstraints(max_length=200), NO_NUL] | None = Field(
        None, description="Free text that identifies the receiver."
    )


class DeliveryStatus(Resource):
    """The state of a delivery by one channel."""

    channel: Channel
    state: DeliveryState
    attempts: int = Field(description="Number of attempts so far.")
    last_error: str | None = Field(description="Code of the last attempt's error, if it failed.")


class NotificationSubject(Resource):
    """The job that a notification is about."""

    kind: JobType
    id: UUID = Field(description="Id of the job.")


class NotificationResource(Resource):
    """A notification that a job has finished."""

    id: UUID
    org_id: str
    kind: str = Field(description="Type of the notification, such as `export_ended`.")
    subject: NotificationSubject
    attempt: int = Field(description="The attempt of the job that finished.")
    status: JobOutcome = Field(description="Outcome of the attempt.")
    created_at: AwareDatetime
    read_at: AwareDatetime | None = Field(description="When the notification was marked as read; null if unread.")
    deliveries: tuple[DeliveryStatus, ...] = Field(description="Deliveries by email and webhook.")

    @classmethod
    def from_details(cls, details: NotificationDetails) -> Self:
        notification = details.notification
        subject = {"kind": notification.subject_kind, "id": notification.subject_id}
        return cls.model_validate(notification.model_dump() | {"subject": subject, "deliveries": details.deliveries})


class NotificationPage(Resource):
    """A page of notifications, newest first."""

    items: tuple[NotificationResource, ...]
    next_page_token: NextPageToken = None


class DeliveryResource(DeliveryStatus):
    """A message to a webhook: a notification or a test."""

    id: UUID
    notification_id: UUID | None = Field(description="Id of the notification; null for a test message.")
    created_at: AwareDatetime
    last_tried_at: AwareDatetime | None = Field(description="When the message was last sent.")
    settled_at: AwareDatetime | None = Field(description="When the message was delivered or given up.")


class WebhookResource(Resource):
    """A webhook without its secret."""

    id: UUID
    org_id: str
    url: str
    description: str | None
    status: WebhookStatus = Field(description="`disabled` webhooks receive no messages until they are enabled again.")
    created_by: UUID = Field(description="Id of the user who added the webhook.")
    created_at: AwareDatetime
    disabled_at: AwareDatetime | None = Field(description="When the webhook was disabled; null while it is active.")

    @classmethod
    def from_row(cls, webhook: Webhook, **extra: object) -> Self:
        status = "active" if webhook.disabled_at is None else "disabled"
        return cls.model_validate(webhook.model_dump() | {"status": status} | extra)


class WebhookWithSecret(WebhookResource):
    """A webhook with its secret."""

    secret: str = Field(description="Secret that signs the messages (Standard Webhooks). It is not returned again.")

    @classmethod
    def from_added_webhook(cls, added: IssuedSecret) -> Self:
        return cls.from_row(added.webhook, secret=added.secret)


class WebhookWithDeliveries(WebhookResource):
    """A webhook with its latest deliveries."""

    deliveries: tuple[DeliveryResource, ...] = Field(description="The latest 20 deliveries, newest first.")

    @classmethod
    def from_details(cls, details: WebhookDetails) -> Self:
        return cls.from_row(details.webhook, deliveries=details.deliveries)


class WebhookPage(Resource):
    """A page of webhooks, newest first."""

    items: tuple[WebhookResource, ...]
    next_page_token: NextPageToken = None
