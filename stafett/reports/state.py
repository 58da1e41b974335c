"""A re-export's row and its trail: each change in the transaction that holds the row, with its audit event."""

from typing import Any

from pydantic import Field
from sqlalchemy import Update, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.tables import Reexport
from stafett.domain.errors import StaleAttemptError
from stafett.domain.frozen import FrozenModel
from stafett.domain.reexport_job import ReexportJob
from stafett.domain.reexport_status import ReexportStatus


class ReexportTransitionEvent(FrozenModel):
    """A transition as its audit event tells it."""

    status: ReexportStatus
    event: str
    actor: str
    detail: EventDetail = Field(default_factory=dict)


def lock_active_reexport(session: Session, job: ReexportJob, *, allow_cancelling: bool = False) -> Reexport:
    """The job's row, locked until the transaction ends, if the job is still to be worked for."""
    row = session.exec(select(Reexport).where(Reexport.id == job.reexport_id).with_for_update()).one()
    if row.status.is_final or (row.status is ReexportStatus.CANCELLING and not allow_cancelling):
        raise StaleAttemptError("This re-export is over.")
    return row


def transition_reexport(session: Session, job: ReexportJob, transition: ReexportTransitionEvent, **values: Any) -> None:
    """The transition and its event: the last thing in the transaction that holds the row."""
    session.execute(update_reexport(job).values(status=transition.status, **values))
    audit_trail.append_audit_event(
        session,
        build_reexport_audit_entry(job, transition.actor, transition.event, transition.status, transition.detail),
    )


def update_reexport(job: ReexportJob) -> Update:
    return update(Reexport).where(col(Reexport.id) == job.reexport_id)


def build_reexport_audit_entry(
    job: ReexportJob, actor: str, event: str, status: ReexportStatus | None = None, detail: EventDetail | None = None
) -> AuditEntry:
    """Without a status it is no step of the job."""
    return AuditEntry(
        org_id=job.org_id,
        actor=actor,
        event=event,
        subject_kind="reexport",
        subject_id=job.reexport_id,
        status=status,
        detail={"attempt": job.attempt, "report_id": str(job.report_id), **(detail or {})},
    )
