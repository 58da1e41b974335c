"""Deliveries as the worker handles them: their messages and their states."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

from sqlalchemy import and_, func, or_, text, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.database.tables import (
    Delivery,
    Membership,
    Notification,
    Organisation,
    Webhook,
    WebhookSecret,
)
from stafett.domain.errors import DeliveryError
from stafett.domain.notification import (
    OPEN_DELIVERY_STATES,
    Channel,
    DeliveryRef,
    DeliveryState,
    NotificationJob,
)
from stafett.notifications.email import Email, InvitationEmail, JobEmail
from stafett.notifications.job_results import load_job_result
from stafett.webhooks.sender import WebhookMessage
from stafett.webhooks.service import build_webhook_audit_entry

_SELECT_RECIPIENT: LiteralString = "SELECT * FROM get_delivery_recipient(:delivery)"
_NOW = func.clock_timestamp()


class DeliveryStore:
    """The state of each delivery. A worker uses it to send; reconciliation uses it for deliveries without a run."""

    def __init__(
        self,
        database: Database,
        *,
        record_state: Callable[[Channel, DeliveryState], None] = lambda _channel, _state: None,
    ) -> None:
        self._database = database
        self._record_state = record_state

    def find_pending(self, job: NotificationJob) -> tuple[DeliveryRef, ...]:
        """Return the job's deliveries that are neither delivered nor given up."""
        is_of_job = and_(col(Notification.subject_id) == job.subject_id, col(Notification.attempt) == job.attempt)
        is_single = and_(col(Delivery.notification_id).is_(None), col(Delivery.id) == job.subject_id)
        deliveries = select(Delivery).join(
            Notification, col(Notification.id) == col(Delivery.notification_id), isouter=True
        )
        query = deliveries.where(or_(is_of_job, is_single), col(Delivery.state).in_(OPEN_DELIVERY_STATES))
        with self._database.transaction(job.org_id) as session:
            rows = session.exec(query.order_by(col(Delivery.id))).all()
        return tuple(DeliveryRef(id=row.id, org_id=row.org_id, channel=row.channel) for row in rows)

    def start_attempt(self, delivery: DeliveryRef) -> bool:
        """Count one more attempt; return False if the delivery is already delivered or given up."""
        values = {"attempts": col(Delivery.attempts) + 1, "last_tried_at": _NOW}
        return self._update_pending(delivery, values) is not None

    def record_failure(self, delivery: DeliveryRef, code: str) -> int | None:
        """Record that the receiver failed; return its failures so far, or None if the delivery is already settled."""
        values = {"state": DeliveryState.FAILED, "failures": col(Delivery.failures) + 1, "last_error": code}
        return self._update_pending(delivery, values)

    def record_success(self, delivery: DeliveryRef) -> None:
        self._update_pending(delivery, {"state": DeliveryState.DELIVERED, "last_error": None, "settled_at": _NOW})

    def give_up(self, delivery: DeliveryRef, code: str | None = None) -> None:
        """Stop retrying; without a code the last attempt's code stays."""
        values: dict[str, Any] = {"state": DeliveryState.GIVEN_UP, "settled_at": _NOW}
        self._update_pending(delivery, values | ({"last_error": code} if code else {}))

    def disable_webhook(self, delivery: DeliveryRef) -> None:
        """Disable the delivery's webhook, because its receiver answered that it is permanently gone."""
        with self._database.transaction(delivery.org_id) as session:
            webhook = _load_webhook(session, session.get_one(Delivery, delivery.id).webhook_id)
            if webhook.disabled_at is None:
                session.execute(update(Webhook).where(col(Webhook.id) == webhook.id).values(disabled_at=_NOW))
                audit_trail.append_audit_event(
                    session, build_webhook_audit_entry(webhook, "webhook_disabled", audit_trail.WORKER_ACTOR)
                )

    def load_email(self, delivery: DeliveryRef) -> Email:
        """Load the email's data. The address is read here alone, so that it reaches no payload and no history."""
        with self._database.transaction(delivery.org_id) as session:
            row = session.get_one(Delivery, delivery.id)
            recipient = session.execute(text(_SELECT_RECIPIENT), {"delivery": delivery.id}).one_or_none()
            if recipient is None:
                raise DeliveryError("recipient_left", is_permanent=True)
            organisation = session.get_one(Organisation, delivery.org_id).name
            if row.invited_user_id is not None:
                membership = session.get_one(Membership, (row.invited_user_id, row.org_id))
                return InvitationEmail(
                    id=delivery.id,
                    address=recipient.address,
                    language=recipient.language,
                    organisation=organisation,
                    created_at=row.created_at,
                    role=membership.role,
                )
            notification = _load_notification(session, delivery)
            result = load_job_result(session, notification)
        return JobEmail(
            id=delivery.id,
            address=recipient.address,
            language=recipient.language,
            organisation=organisation,
            job_type=notification.subject_kind,
            job_id=notification.subject_id,
            outcome=notification.status,
            created_at=notification.created_at,
            result=result,
        )

    def load_webhook_message(self, delivery: DeliveryRef) -> WebhookMessage:
        """Build the webhook's message from rows that do not change, so that every attempt sends the same bytes."""
        with self._database.transaction(delivery.org_id) as session:
            row = session.get_one(Delivery, delivery.id)
            webhook = _load_webhook(session, row.webhook_id)
            is_test = row.notification_id is None
            if webhook.deleted_at is not None:
                raise DeliveryError("webhook_removed", is_permanent=True)
            if webhook.disabled_at is not None and not is_test:
                raise DeliveryError("webhook_disabled", is_permanent=True)
            secrets = _list_active_secrets(session.get_one(WebhookSecret, webhook.id))
            payload = (
                build_test_payload(row) if is_test else build_outcome_payload(_load_notification(session, delivery))
            )
        body = json.dumps(payload, separators=(",", ":")).encode()
        return WebhookMessage(id=str(delivery.id), url=webhook.url, secrets=secrets, body=body)

    def _update_pending(self, delivery: DeliveryRef, values: dict[str, Any]) -> int | None:
        """Update an open delivery; return the number of its failures, or None if it is not open."""
        statement = update(Delivery).where(
            col(Delivery.id) == delivery.id, col(Delivery.state).in_(OPEN_DELIVERY_STATES)
        )
        with self._database.transaction(delivery.org_id) as session:
            failures = session.scalar(statement.values(values).returning(col(Delivery.failures)))
        if failures is not None and "state" in values:
            self._record_state(delivery.channel, values["state"])
        return failures


def find_undelivered(maintenance: Database) -> Sequence[NotificationJob]:
    """List the jobs with open deliveries, of every organisation, oldest first."""
    subject_id = func.coalesce(col(Notification.subject_id), col(Delivery.id))
    attempt_number = func.coalesce(col(Notification.attempt), 1)
    outbox = select(Delivery.org_id, subject_id, attempt_number).join(
        Notification, col(Notification.id) == col(Delivery.notification_id), isouter=True
    )
    query = outbox.where(col(Delivery.state).in_(OPEN_DELIVERY_STATES)).group_by(
        col(Delivery.org_id), subject_id, attempt_number
    )
    with maintenance.transaction() as session:
        rows = session.exec(query.order_by(func.min(Delivery.created_at))).all()
    return [NotificationJob(org_id=org_id, subject_id=subject, attempt=attempt) for org_id, subject, attempt in rows]


def _load_notification(session: Session, delivery: DeliveryRef) -> Notification:
    row = session.get_one(Delivery, delivery.id)
    return session.get_one(Notification, row.notification_id)


def _load_webhook(session: Session, webhook_id: UUID | None) -> Webhook:
    return session.get_one(Webhook, webhook_id)


def _list_active_secrets(row: WebhookSecret) -> tuple[str, ...]:
    """Return the secret, and its predecessor until receivers have had time to change over."""
    if row.previous_secret is None or row.previous_expires_at is None or row.previous_expires_at <= datetime.now(UTC):
        return (row.secret,)
    return row.secret, row.previous_secret


def build_outcome_payload(notification: Notification) -> dict[str, Any]:
    """Build the message about a finished job. `api/schemas/webhook_messages.py` has its schema."""
    data = {
        f"{notification.subject_kind}_id": str(notification.subject_id),
        "org_id": notification.org_id,
        "attempt": notification.attempt,
        "status": notification.status,
    }
    return {
        "type": f"{notification.subject_kind}.{notification.status}",
        "timestamp": _format_created_at(notification),
        "data": data,
    }


def build_test_payload(row: Delivery) -> dict[str, Any]:
    """Build the message of a webhook's test."""
    data = {"webhook_id": str(row.webhook_id), "org_id": row.org_id}
    return {"type": "webhook.test", "timestamp": _format_created_at(row), "data": data}


def _format_created_at(row: Notification | Delivery) -> str:
    return row.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
