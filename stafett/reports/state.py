"""Locks, transitions and audit events of re-exports."""

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
    """A transition and the details of its audit event."""

    status: ReexportStatus
    event: str
    actor: str
    detail: EventDetail = Field(default_factory=dict)


def lock_active_reexport(session: Session, job: ReexportJob, *, allow_cancelling: bool = False) -> Reexport:
    """Lock the job's row until the transaction ends; raise if the re-export is no longer active."""
    row = session.exec(select(Reexport).where(Reexport.id == job.reexport_id).with_for_update()).one()
    if row.status.is_final or (row.status is ReexportStatus.CANCELLING and not allow_cancelling):
        raise StaleAttemptError("This re-export is over.")
    return row


def transition_reexport(session: Session, job: ReexportJob, transition: ReexportTransitionEvent, **values: Any) -> None:
    """Write the transition and its audit event, as the last thing in the transaction that locks the row."""
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
    """Build an audit entry, which records a transition only if it has a status."""
    return AuditEntry(
        org_id=job.org_id,
        actor=actor,
        event=event,
        subject_kind="reexport",
        subject_id=job.reexport_id,
        status=status,
        detail={"attempt": job.attempt, "report_id": str(job.report_id), **(detail or {})},
    )
