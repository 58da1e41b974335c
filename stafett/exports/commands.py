"""Commands on existing exports: cancel, retry and delete."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, insert
from sqlmodel import Session, select

from stafett.database.idempotency import IdempotencyScope, claim_once
from stafett.database.session import Database
from stafett.database.tables import Export, ExportAttempt, ExportStageOutput
from stafett.database.tables.base import get_request_id
from stafett.domain.errors import InvalidStateError
from stafett.domain.export import ExportOrigin
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.domain.membership import Caller
from stafett.exports.handed_in import (
    HandedInVersion,
    RemovalConfirmation,
    find_handed_in_version,
    require_confirmation,
)
from stafett.exports.state import delete_outputs, has_open_reexport
from stafett.jobs.commands import get_job_or_404, lock_for_command, lock_for_deletion, request_cancel
from stafett.jobs.state import JobEvent, transition_job

_RETRY_OPERATION = "bufdir-exports.retry"
_RETRYABLE = frozenset({ExportStatus.FAILED, ExportStatus.CANCELLED})
_OUTCOME_COLUMNS = (
    *("error", "completed_at", "progress"),
    *("staging_cleared_at", "removal_started_at", "files_removed_at"),
)


class ExportCommands:
    """Each command is one transaction with its audit event; the API informs Temporal afterwards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, caller: Caller, export_id: UUID) -> Export:
        """Request cancellation. Idempotent while cancelling."""
        with lock_for_command(self._database, caller, Export, export_id) as (session, export):
            return request_cancel(session, caller, export)

    def retry(self, caller: Caller, export_id: UUID, idempotency_key: str | None = None) -> tuple[Export, bool]:
        """Start a new attempt under the same id; return whether this call started it."""
        with lock_for_command(self._database, caller, Export, export_id) as (session, export):
            if export.origin is ExportOrigin.REEXPORT:
                raise InvalidStateError(
                    "This export is part of a re-export and cannot be retried; start a new re-export."
                )
            if not claim_once(session, IdempotencyScope(export.org_id, _RETRY_OPERATION, idempotency_key), export.id):
                return export, False
            if export.status not in _RETRYABLE:
                raise InvalidStateError(
                    f"Only a failed or cancelled export can be retried; this export is {export.status}."
                )
            finished_stages = _load_finished_stages(session, export)
            attempt = insert(ExportAttempt).values(
                export_id=export.id,
                number=export.attempt + 1,
                org_id=export.org_id,
                resumed_from=_find_resume_stage(export, finished_stages),
                stages_reused=finished_stages,
            )
            session.execute(attempt)
            transition_job(
                session,
                export,
                ExportStatus.INITIALISED,
                JobEvent("retry_requested", caller.actor),
                attempt=export.attempt + 1,
                request_id=get_request_id(),
                **dict.fromkeys(_OUTCOME_COLUMNS),
            )
            return export, True

    def find_handed_in_version(self, caller: Caller, export_id: UUID) -> HandedInVersion | None:
        """Return the version of a report whose deletion needs a confirmation, if the export has its file."""
        with self._database.caller_transaction(caller) as session:
            return find_handed_in_version(session, get_job_or_404(session, Export, export_id).job)

    def delete(self, caller: Caller, export_id: UUID, confirmation: RemovalConfirmation | None = None) -> Export:
        """Hide a finished export from lists and reads; its files are removed later, by the API or by retention.

        The deletion of a version that was handed in needs a confirmation.
        """
        with lock_for_deletion(self._database, caller, Export, export_id) as (session, export):
            if has_open_reexport(session, export):
                raise InvalidStateError(
                    "This export is part of a re-export that has not ended; cancel the re-export first."
                )
            handed_in = require_confirmation(session, export.job, confirmation)
            event = JobEvent("export_deleted", caller.actor, handed_in.detail if handed_in else None)
            transition_job(session, export, export.status, event, deleted_at=func.clock_timestamp())
            return export


def _load_finished_stages(session: Session, export: Export) -> Sequence[ExportStatus]:
    """List the finished stages in order, none of a cancelled export; drop them all if their files are being removed."""
    if export.removal_started_at is not None:
        delete_outputs(session, export.job)
    finished = session.exec(select(ExportStageOutput.stage).where(ExportStageOutput.export_id == export.id)).all()
    return [stage for stage in EXPORT_STAGES if stage in set(finished)]


def _find_resume_stage(export: Export, finished_stages: Sequence[ExportStatus]) -> ExportStatus | None:
    """Return the first unfinished stage, or none if no stage is finished."""
    if not finished_stages:
        return None
    has_bundle = export.parameters.get("include_attachments", False)
    needed = (stage for stage in EXPORT_STAGES if has_bundle or stage is not ExportStatus.BUNDLING_ATTACHMENTS)
    return next(stage for stage in needed if stage not in finished_stages)
