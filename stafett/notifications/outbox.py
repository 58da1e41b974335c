"""The outbox: what is to be told is committed together with what has happened."""

from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import insert, text
from sqlmodel import Session

from stafett.database.tables import Delivery, Notification
from stafett.domain.job import Job
from stafett.domain.notification import Channel, JobOutcome, JobType

_TO_EVERY_WEBHOOK = text("""
INSERT INTO deliveries (id, org_id, notification_id, webhook_id, channel)
SELECT gen_random_uuid(), org_id, :notification, id, 'webhook'
FROM webhooks WHERE org_id = :org_id AND disabled_at IS NULL AND deleted_at IS NULL
""")


class End(NamedTuple):
    """How an attempt at a job ended, and who asked for it."""

    subject: JobType
    job: Job
    ending: JobOutcome
    asked_by: UUID


def announce(session: Session, end: End, *, by_mail: bool) -> None:
    """Write down, in the transaction that ends the job, who is to be told of it and how."""
    notification_id, org_id = uuid4(), end.job.org_id
    session.execute(
        insert(Notification).values(
            id=notification_id,
            org_id=org_id,
            user_id=end.asked_by,
            kind=f"{end.subject}_ended",
            subject_kind=end.subject,
            subject_id=end.job.job_id,
            attempt=end.job.attempt,
            status=end.ending,
        )
    )
    if by_mail:
        letter = {"id": uuid4(), "org_id": org_id, "notification_id": notification_id, "channel": Channel.EMAIL}
        session.execute(insert(Delivery).values(letter))
    session.execute(_TO_EVERY_WEBHOOK, {"notification": notification_id, "org_id": org_id})
