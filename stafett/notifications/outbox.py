"""Notification outbox: notifications are committed together with the event that causes them."""

from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import insert, text
from sqlmodel import Session

from stafett.database.tables import Delivery, Notification
from stafett.domain.job import Job
from stafett.domain.notification import Channel, JobOutcome, JobType

_INSERT_WEBHOOK_DELIVERIES = text("""
INSERT INTO deliveries (id, org_id, notification_id, webhook_id, channel)
SELECT gen_random_uuid(), org_id, :notification, id, 'webhook'
FROM webhooks WHERE org_id = :org_id AND disabled_at IS NULL AND deleted_at IS NULL
""")


class JobCompletion(NamedTuple):
    """Outcome of an attempt at a job, and the user who requested it."""

    job_type: JobType
    job: Job
    outcome: JobOutcome
    requested_by: UUID


def enqueue_notifications(session: Session, completion: JobCompletion, *, notify_by_email: bool) -> None:
    """Insert a notification and its deliveries, in the transaction that ends the job."""
    notification_id, org_id = uuid4(), completion.job.org_id
    session.execute(
        insert(Notification).values(
            id=notification_id,
            org_id=org_id,
            user_id=completion.requested_by,
            kind=f"{completion.job_type}_ended",
            subject_kind=completion.job_type,
            subject_id=completion.job.job_id,
            attempt=completion.job.attempt,
            status=completion.outcome,
        )
    )
    if notify_by_email:
        delivery = {"id": uuid4(), "org_id": org_id, "notification_id": notification_id, "channel": Channel.EMAIL}
        session.execute(insert(Delivery).values(delivery))
    session.execute(_INSERT_WEBHOOK_DELIVERIES, {"notification": notification_id, "org_id": org_id})
