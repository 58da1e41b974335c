"""A job's steps in their order, for whoever may see the job: of the audit trail the steps, and no more."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import AuditEvent
from stafett.domain.fields import UtcDatetime


class JobStep(NamedTuple):
    """The job came into this state; ``seq`` is the step's place in the organisation's chain."""

    seq: int
    at: UtcDatetime
    status: str
    attempt: int | None


class JobHistory:
    """Every step is committed with its event, so whoever reads the events has missed none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def steps_after(self, org_id: str, job_id: UUID, after_seq: int) -> Sequence[JobStep]:
        """What came after an event; the caller has seen to it that they may know of the job."""
        steps = (
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
            found = session.exec(steps).all()
        return [JobStep(step.seq, step.at, str(step.status), step.detail.get("attempt")) for step in found]
