"""The outbox: what is to be told is committed together with what has happened."""

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
    """How an attempt at a job ended, and who asked for it."""

    job_type: JobType
    job: Job
    outcome: JobOutcome
    requested_by: UUID


def enqueue_notifications(session: Session, completion: JobCompletion, *, by_email: bool) -> None:
    """Write down, in the transaction that ends the job, who is to be told of it and how."""
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
    if by_email:
        letter = {"id": uuid4(), "org_id": org_id, "notification_id": notification_id, "channel": Channel.EMAIL}
        session.execute(insert(Delivery).values(letter))
    session.execute(_INSERT_WEBHOOK_DELIVERIES, {"notification": notification_id, "org_id": org_id})
