"""Deliveries as the worker knows them: what they carry, and how far they have come."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from sqlalchemy import and_, func, or_, text, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.database.tables import (
    Delivery,
    Export,
    Notification,
    Organisation,
    Reexport,
    Report,
    Webhook,
    WebhookSecret,
)
from stafett.domain.errors import DeliveryError
from stafett.domain.export import Locale
from stafett.domain.notification import OPEN_DELIVERY_STATES, DeliveryRef, DeliveryState, JobType, NotificationJob
from stafett.domain.reporting_period import OSLO
from stafett.notifications.email import Email
from stafett.webhooks.sender import WebhookMessage
from stafett.webhooks.service import build_webhook_audit_entry

_SELECT_RECIPIENT: LiteralString = "SELECT recipient_of(:delivery)"
_NOW = func.clock_timestamp()


class DeliveryStore:
    """The ``deliveries`` table under the role of whoever sends: a worker, or the sweeper for what nobody sends."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_pending(self, job: NotificationJob) -> tuple[DeliveryRef, ...]:
        """What of it has neither arrived nor been given up."""
        of_an_end = and_(col(Notification.subject_id) == job.subject_id, col(Notification.attempt) == job.attempt)
        a_test = and_(col(Delivery.notification_id).is_(None), col(Delivery.id) == job.subject_id)
        told = select(Delivery).join(Notification, col(Notification.id) == col(Delivery.notification_id), isouter=True)
        query = told.where(or_(of_an_end, a_test), col(Delivery.state).in_(OPEN_DELIVERY_STATES))
        with self._database.transaction(job.org_id) as session:
            found = session.exec(query.order_by(col(Delivery.id))).all()
        return tuple(DeliveryRef(id=row.id, org_id=row.org_id, channel=row.channel) for row in found)

    def start_attempt(self, delivery: DeliveryRef) -> bool:
        """Count one more try; false if it is settled."""
        values = {"attempts": col(Delivery.attempts) + 1, "last_tried_at": _NOW}
        return self._update_pending(delivery, values)

    def record_failure(self, delivery: DeliveryRef, code: str) -> None:
        """This try was in vain, and there will be another one."""
        self._update_pending(delivery, {"state": DeliveryState.FAILED, "last_error": code})

    def record_success(self, delivery: DeliveryRef) -> None:
        self._update_pending(delivery, {"state": DeliveryState.DELIVERED, "last_error": None, "settled_at": _NOW})

    def give_up(self, delivery: DeliveryRef, code: str | None = None) -> None:
        """Nothing more is tried; without a code the last try's stays."""
        values: dict[str, Any] = {"state": DeliveryState.GIVEN_UP, "settled_at": _NOW}
        self._update_pending(delivery, values | ({"last_error": code} if code else {}))

    def disable_webhook(self, delivery: DeliveryRef) -> None:
        """Its receiver has said that it will not be there any more."""
        with self._database.transaction(delivery.org_id) as session:
            webhook = _load_webhook(session, session.get_one(Delivery, delivery.id).webhook_id)
            if webhook.disabled_at is None:
                session.execute(update(Webhook).where(col(Webhook.id) == webhook.id).values(disabled_at=_NOW))
                audit_trail.append_audit_event(
                    session, build_webhook_audit_entry(webhook, "webhook_disabled", audit_trail.WORKER_ACTOR)
                )

    def load_email(self, delivery: DeliveryRef) -> Email:
        """The letter, with the address that no other step of its way learns."""
        with self._database.transaction(delivery.org_id) as session:
            notification = _load_notification(session, delivery)
            address = session.scalar(text(_SELECT_RECIPIENT), {"delivery": delivery.id})
            if address is None:
                raise DeliveryError("recipient_left", is_permanent=True)
            about = CONTEXT_LOADERS[notification.subject_kind](session, notification.subject_id)
            organisation = session.get_one(Organisation, delivery.org_id).name
        return Email(
            id=delivery.id,
            address=address,
            locale=about.locale,
            organisation=organisation,
            period=about.period,
            job_type=notification.subject_kind,
            job_id=notification.subject_id,
            outcome=notification.status,
            created_at=notification.created_at,
        )

    def load_webhook_message(self, delivery: DeliveryRef) -> WebhookMessage:
        """The webhook's message: made of rows that do not change, so that every try sends the same bytes."""
        with self._database.transaction(delivery.org_id) as session:
            row = session.get_one(Delivery, delivery.id)
            webhook = _load_webhook(session, row.webhook_id)
            is_test = row.notification_id is None
            if webhook.deleted_at is not None:
                raise DeliveryError("webhook_removed", is_permanent=True)
            if webhook.disabled_at is not None and not is_test:
                raise DeliveryError("webhook_disabled", is_permanent=True)
            secrets = _list_active_secrets(session.get_one(WebhookSecret, webhook.id))
            said = _build_test_payload(row) if is_test else _build_job_payload(_load_notification(session, delivery))
        body = json.dumps(said, separators=(",", ":")).encode()
        return WebhookMessage(id=str(delivery.id), url=webhook.url, secrets=secrets, body=body)

    def _update_pending(self, delivery: DeliveryRef, values: dict[str, Any]) -> bool:
        row = update(Delivery).where(col(Delivery.id) == delivery.id, col(Delivery.state).in_(OPEN_DELIVERY_STATES))
        with self._database.transaction(delivery.org_id) as session:
            return session.scalar(row.values(values).returning(col(Delivery.id))) is not None


def find_undelivered(maintenance: Database) -> Sequence[NotificationJob]:
    """Everything that somebody is still to be told, of every organisation, oldest first."""
    its_subject = func.coalesce(col(Notification.subject_id), col(Delivery.id))
    its_attempt = func.coalesce(col(Notification.attempt), 1)
    outbox = select(Delivery.org_id, its_subject, its_attempt).join(
        Notification, col(Notification.id) == col(Delivery.notification_id), isouter=True
    )
    waiting = outbox.where(col(Delivery.state).in_(OPEN_DELIVERY_STATES)).group_by(
        col(Delivery.org_id), its_subject, its_attempt
    )
    with maintenance.transaction() as session:
        found = session.exec(waiting.order_by(func.min(Delivery.created_at))).all()
    return [NotificationJob(org_id=org_id, subject_id=subject, attempt=attempt) for org_id, subject, attempt in found]


def _load_notification(session: Session, delivery: DeliveryRef) -> Notification:
    row = session.get_one(Delivery, delivery.id)
    return session.get_one(Notification, row.notification_id)


def _load_webhook(session: Session, webhook_id: UUID | None) -> Webhook:
    return session.get_one(Webhook, webhook_id)


def _list_active_secrets(row: WebhookSecret) -> tuple[str, ...]:
    """The secret, and the one before it for as long as a receiver may know no other."""
    if row.former_secret is None or row.former_until is None or row.former_until <= datetime.now(UTC):
        return (row.secret,)
    return row.secret, row.former_secret


def _build_job_payload(notification: Notification) -> dict[str, Any]:
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


def _build_test_payload(row: Delivery) -> dict[str, Any]:
    data = {"webhook_id": str(row.webhook_id), "org_id": row.org_id}
    return {"type": "webhook.test", "timestamp": _format_created_at(row), "data": data}


def _format_created_at(row: Notification | Delivery) -> str:
    return row.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class EmailContext(NamedTuple):
    """The language of a letter, and the first and the last day of what it is about, if it is about a period."""

    locale: Locale
    period: tuple[date, date] | None


def _load_export_context(session: Session, export_id: UUID) -> EmailContext:
    export = session.get_one(Export, export_id)
    return EmailContext(export.parameters["locale"], export.job.date_range)


def _load_reexport_context(session: Session, reexport_id: UUID) -> EmailContext:
    """In the language of the report that was there before."""
    row = session.get_one(Reexport, reexport_id)
    report = session.get_one(Report, row.report_id)
    first, last = (moment.astimezone(OSLO).date() for moment in row.job.period)
    return EmailContext(report.parameters["locale"], (first, last))


def _load_bulk_context(_session: Session, _batch_id: UUID) -> EmailContext:
    return EmailContext("nb", None)


CONTEXT_LOADERS: Mapping[JobType, Callable[[Session, UUID], EmailContext]] = {
    JobType.EXPORT: _load_export_context,
    JobType.REEXPORT: _load_reexport_context,
    JobType.BULK_REGISTRATION: _load_bulk_context,
}
