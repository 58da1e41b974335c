"""Progress, outputs and crash counts of an export's row.

A write locks the row and checks the attempt first, or has the attempt in its `WHERE` clause, so that a stale attempt
writes nothing.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, Update, and_, cast, delete, func, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Session, col, select

from stafett.database.tables import (
    Export,
    ExportMappedPart,
    ExportPartialFailures,
    ExportStageCrashes,
    ExportStageOutput,
    Reexport,
)
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES
from stafett.jobs.state import lock_active_job


def lock_active_export(session: Session, job: ExportJob, *, allow_cancelling: bool = False) -> Export:
    return lock_active_job(session, Export, job, allow_cancelling=allow_cancelling)


def update_if_running(job: ExportJob, stage: ExportStatus) -> Update:
    """Build an update that only matches while the stage is running."""
    return update(Export).where(
        col(Export.id) == job.export_id, col(Export.attempt) == job.attempt, col(Export.status) == stage
    )


def delete_outputs(session: Session, job: ExportJob) -> None:
    """Delete all stage outputs, so that the export starts from its first stage again."""
    for table in (ExportStageOutput, ExportPartialFailures):
        session.execute(delete(table).where(col(table.export_id) == job.export_id))
    delete_mapped_parts(session, job)


def delete_mapped_parts(session: Session, job: ExportJob) -> None:
    session.execute(delete(ExportMappedPart).where(col(ExportMappedPart.export_id) == job.export_id))


def delete_crash_counts(session: Session, job: ExportJob) -> None:
    """Delete the crash counts, which only matter for a running attempt."""
    session.execute(delete(ExportStageCrashes).where(col(ExportStageCrashes.export_id) == job.export_id))


def reset_crash_count(session: Session, job: ExportJob, stage: ExportStatus) -> None:
    """Count the running execution as the stage's first one, because it got further than those that crashed."""
    is_crashed = is_crash_count_of(job, stage) & (col(ExportStageCrashes.crashes) > 1)
    session.execute(update(ExportStageCrashes).where(is_crashed).values(crashes=1))


def is_crash_count_of(job: ExportJob, stage: ExportStatus) -> ColumnElement[bool]:
    """Match the crash count of a stage in this attempt."""
    return and_(
        col(ExportStageCrashes.export_id) == job.export_id,
        col(ExportStageCrashes.attempt) == job.attempt,
        col(ExportStageCrashes.stage) == stage,
    )


def build_progress(stage: ExportStatus, done: int, total: int, updated_at: datetime | None = None) -> dict[str, Any]:
    """Build the job's progress: processed and total rows, and no unavailable service."""
    written_at = (updated_at or datetime.now(UTC)).isoformat()
    return {"stage": stage, "done": done, "total": total, "waiting_for": None, "updated_at": written_at}


def set_waiting_for(session: Session, job: ExportJob, stages: Collection[ExportStatus], service: str) -> None:
    """Record that the job waits for a service, if it is in one of the stages; the next progress report clears it."""
    earlier = func.coalesce(col(Export.progress), cast(build_progress(ExportStatus.INITIALISED, 0, 0), JSONB))
    progress = func.jsonb_set(earlier, ["waiting_for"], func.to_jsonb(cast(service, Text)))
    is_in_stage = and_(
        col(Export.id) == job.export_id, col(Export.attempt) == job.attempt, col(Export.status).in_(stages)
    )
    session.execute(update(Export).where(is_in_stage).values(progress=progress))


def is_child_of_open_reexport() -> ColumnElement[bool]:
    """Match exports that belong to an open re-export, which controls its child export itself."""
    is_open = col(Reexport.status).not_in(REEXPORT_FINAL_STATUSES)
    return select(Reexport.id).where(col(Reexport.id) == col(Export.reexport_id), is_open).exists()


def has_open_reexport(session: Session, export: Export) -> bool:
    return (
        session.exec(select(Export.id).where(Export.id == export.id, is_child_of_open_reexport())).first() is not None
    )
