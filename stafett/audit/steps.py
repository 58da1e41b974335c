"""Status transitions of a job, read from its audit events."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import AuditEvent
from stafett.domain.fields import UtcDatetime


class JobStep(NamedTuple):
    """A transition to a status. ``seq`` is the position of its event in the organisation's chain."""

    seq: int
    at: UtcDatetime
    status: str
    attempt: int | None


class JobHistory:
    """Transitions of jobs. Each is committed with its audit event, so that the events have all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def steps_after(self, org_id: str, job_id: UUID, after_seq: int) -> Sequence[JobStep]:
        """Return the transitions after an event. The caller of this method checks that the user may view the job."""
        query = (
            select(AuditEvent)
            .where(
                col(AuditEvent.org_id) == org_id,
                col(AuditEvent.subject_id) == job_id,
                col(AuditEvent.seq) > after_seq,
                col(AuditEvent.status).is_not(None),
            )
            .order_by(col(AuditEvent.seq))
        )
        with self._database.transaction(org_id) as session:
            events = session.exec(query).all()
        return [JobStep(event.seq, event.at, str(event.status), event.detail.get("attempt")) for event in events]
