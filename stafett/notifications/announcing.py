"""The outbox: what is to be told is committed together with what has happened."""

from uuid import uuid4

from sqlalchemy import insert, text
from sqlmodel import Session, select

from stafett.database.tables import Export
from stafett.database.telling_tables import DeliveryRow, Notification
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from stafett.domain.notification import Channel

_TO_EVERY_WEBHOOK = text("""
INSERT INTO deliveries (id, org_id, notification_id, webhook_id, channel)
SELECT gen_random_uuid(), org_id, :notification, id, 'webhook'
FROM webhooks WHERE org_id = :org_id AND disabled_at IS NULL AND deleted_at IS NULL
""")


def announce(session: Session, job: ExportJob, status: ExportStatus, *, by_mail: bool) -> None:
    """Write down, in the transaction that ends the job, who is to be told of it and how."""
    notification_id = uuid4()
    asker = select(Export.requested_by).where(Export.id == job.export_id).scalar_subquery()
    session.execute(
        insert(Notification).values(
            id=notification_id,
            org_id=job.org_id,
            user_id=asker,
            kind="export_ended",
            subject_kind="export",
            subject_id=job.export_id,
            attempt=job.attempt,
            status=status,
        )
    )
    if by_mail:
        letter = {"id": uuid4(), "org_id": job.org_id, "notification_id": notification_id, "channel": Channel.EMAIL}
        session.execute(insert(DeliveryRow).values(letter))
    session.execute(_TO_EVERY_WEBHOOK, {"notification": notification_id, "org_id": job.org_id})
