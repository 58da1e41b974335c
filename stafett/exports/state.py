"""An export's row and its trail: each change in the transaction that holds the row, with its audit event.

Nobody writes for an attempt that is over: every write holds the row and looks first.
"""

from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from sqlalchemy import ColumnElement, Update, delete, exists, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.tables import (
    Export,
    ExportMappedPart,
    ExportPartialFailures,
    ExportStageCrashes,
    ExportStageOutput,
    Reexport,
)
from stafett.domain.errors import StaleAttemptError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from stafett.domain.frozen import FrozenModel
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES


class ExportTransitionEvent(FrozenModel):
    """A transition as its audit event tells it."""

    status: ExportStatus
    event: str
    actor: str
    detail: EventDetail = Field(default_factory=dict)


def lock_active_export(session: Session, job: ExportJob, *, allow_cancelling: bool = False) -> Export:
    """The job's row, locked until the transaction ends, if this attempt still has the right to write to it."""
    export = session.exec(select(Export).where(Export.id == job.export_id).with_for_update()).one()
    is_over = export.status.is_final or (export.status is ExportStatus.CANCELLING and not allow_cancelling)
    if export.attempt != job.attempt or is_over:
        raise StaleAttemptError("This attempt at the export is over.")
    return export


def update_if_running(job: ExportJob, stage: ExportStatus) -> Update:
    """For as long as the stage is the one now running."""
    return update(Export).where(
        col(Export.id) == job.export_id, col(Export.attempt) == job.attempt, col(Export.status) == stage
    )


def transition_export(session: Session, job: ExportJob, transition: ExportTransitionEvent, **values: Any) -> None:
    """The transition and its event: the last thing in the transaction that holds the row."""
    session.execute(update(Export).where(col(Export.id) == job.export_id).values(status=transition.status, **values))
    entry = AuditEntry(
        org_id=job.org_id,
        actor=transition.actor,
        event=transition.event,
        subject_id=job.export_id,
        status=transition.status,
        detail={"attempt": job.attempt, **transition.detail},
    )
    audit_trail.append_audit_event(session, entry)


def delete_outputs(session: Session, job: ExportJob) -> None:
    """Whatever is done next begins anew."""
    for table in (ExportStageOutput, ExportPartialFailures):
        session.execute(delete(table).where(col(table.export_id) == job.export_id))
    delete_mapped_parts(session, job)


def delete_mapped_parts(session: Session, job: ExportJob) -> None:
    """Nobody goes on from them any more."""
    session.execute(delete(ExportMappedPart).where(col(ExportMappedPart.export_id) == job.export_id))


def delete_crash_counts(session: Session, job: ExportJob) -> None:
    """They keep count for an attempt that is at work."""
    session.execute(delete(ExportStageCrashes).where(col(ExportStageCrashes.export_id) == job.export_id))


def build_progress(stage: ExportStatus, done: int, total: int, updated_at: datetime | None = None) -> dict[str, Any]:
    """Rows done of rows to do, as the job shows them; nothing is waited for."""
    written_at = (updated_at or datetime.now(UTC)).isoformat()
    return {"stage": stage, "done": done, "total": total, "waiting_for": None, "updated_at": written_at}


def is_child_of_open_reexport() -> ColumnElement[bool]:
    """Of an export: its job is still that re-export's to look after."""
    unfinished = col(Reexport.status).not_in(REEXPORT_FINAL_STATUSES)
    return exists().where(col(Reexport.id) == col(Export.reexport_id), unfinished)


def has_open_reexport(session: Session, export: Export) -> bool:
    return (
        session.exec(select(Export.id).where(Export.id == export.id, is_child_of_open_reexport())).first() is not None
    )
