"""Notification outbox: notifications are committed together with the event that causes them."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from stafett.domain.job import Job
from stafett.domain.notification import JobOutcome, JobType

# The email is one of the channels, so that a notification and its deliveries are one statement.
_INSERT_NOTIFICATION = text("""
WITH notification AS (
    INSERT INTO notifications (id, org_id, user_id, kind, subject_kind, subject_id, attempt, status)
    VALUES (gen_random_uuid(), :org_id, :user_id, :kind, :subject_kind, :subject_id, :attempt, :status)
    RETURNING id, org_id
)
INSERT INTO deliveries (id, org_id, notification_id, webhook_id, channel)
SELECT gen_random_uuid(), n.org_id, n.id, r.webhook_id, r.channel
FROM notification n, (
    SELECT NULL::uuid AS webhook_id, 'email' AS channel WHERE :notify_by_email
    UNION ALL
    SELECT id, 'webhook' FROM webhooks WHERE org_id = :org_id AND disabled_at IS NULL AND deleted_at IS NULL
) r
""")


_HAS_OPEN_DELIVERIES = text("""
SELECT EXISTS (
    SELECT FROM notifications n JOIN deliveries d ON d.org_id = n.org_id AND d.notification_id = n.id
    WHERE n.org_id = :org_id AND n.subject_id = :subject_id AND n.attempt = :attempt
        AND d.state IN ('pending', 'failed'))
""")


class JobCompletion(NamedTuple):
    """Outcome of an attempt at a job, and the user who requested it."""

    job_type: JobType
    job: Job
    outcome: JobOutcome
    requested_by: UUID


def enqueue_notifications(session: Session, completion: JobCompletion, *, notify_by_email: bool) -> bool:
    """Insert a notification and its deliveries, in the transaction that ends the job; return whether there are any."""
    inserted = session.connection().execute(
        _INSERT_NOTIFICATION,
        {
            "org_id": completion.job.org_id,
            "user_id": completion.requested_by,
            "kind": f"{completion.job_type}_ended",
            "subject_kind": completion.job_type,
            "subject_id": completion.job.job_id,
            "attempt": completion.job.attempt,
            "status": completion.outcome,
            "notify_by_email": notify_by_email,
        },
    )
    return inserted.rowcount > 0


def has_open_deliveries(session: Session, job: Job) -> bool:
    """Return whether the outcome of this attempt still has to be delivered to a receiver."""
    parameters = {"org_id": job.org_id, "subject_id": job.job_id, "attempt": job.attempt}
    return bool(session.scalar(_HAS_OPEN_DELIVERIES, parameters))
