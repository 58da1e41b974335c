"""Commands on existing exports: cancel, retry and delete."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert
from sqlmodel import Session, select

from stafett.audit import trail as audit_trail
from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.session import Database
from stafett.database.tables import Export, ExportAttempt, ExportStageOutput
from stafett.database.tables.base import get_request_id
from stafett.domain.errors import InvalidStateError, NotFoundError, PermissionDeniedError
from stafett.domain.export import ExportOrigin
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.exports.state import ExportTransitionEvent, delete_outputs, has_open_reexport, transition_export

_RETRY_OPERATION = "bufdir-exports.retry"
_RETRYABLE = frozenset({ExportStatus.FAILED, ExportStatus.CANCELLED})
_OUTCOME_COLUMNS = (
    *("error", "completed_at", "progress"),
    *("staging_cleared_at", "removal_started_at", "files_removed_at"),
)


class _ExportRetryBody(FrozenModel):
    """The request that an idempotency key of a retry identifies."""

    export_id: UUID


class ExportCommands:
    """Each command is one transaction with its audit event; the API informs Temporal afterwards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, caller: Caller, export_id: UUID) -> Export:
        """Request cancellation. Idempotent while cancelling."""
        with self._lock_and_authorise(caller, export_id) as (session, export):
            if export.status is ExportStatus.CANCELLING:
                return export
            if export.status.is_final:
                raise InvalidStateError(f"The export has ended ({export.status}); there is nothing to cancel.")
            return _transition_and_refresh(session, caller, export, ExportStatus.CANCELLING, "cancel_requested")

    def retry(self, caller: Caller, export_id: UUID, idempotency_key: str | None = None) -> tuple[Export, bool]:
        """Start a new attempt under the same id; return whether this call started it."""
        with self._lock_and_authorise(caller, export_id) as (session, export):
            if export.origin is ExportOrigin.REEXPORT:
                raise InvalidStateError(
                    "This export is part of a re-export and cannot be retried; start a new re-export."
                )
            if idempotency_key and _is_repeat(session, export, idempotency_key):
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
            new_values = {
                "attempt": export.attempt + 1,
                "request_id": get_request_id(),
                **dict.fromkeys(_OUTCOME_COLUMNS),
            }
            return _transition_and_refresh(
                session, caller, export, ExportStatus.INITIALISED, "retry_requested", **new_values
            ), True

    def delete(self, caller: Caller, export_id: UUID) -> Export:
        """Hide a finished export from lists and reads; its files are removed later, by the API or by retention."""
        with self._lock_export(caller, export_id) as (session, export):
            if not caller.can_administer(export.org_id):
                raise PermissionDeniedError("Only an administrator of the organisation may delete an export.")
            if not export.status.is_final:
                raise InvalidStateError(f"The export is {export.status}; cancel it first.")
            if has_open_reexport(session, export):
                raise InvalidStateError(
                    "This export is part of a re-export that has not ended; cancel the re-export first."
                )
            return _transition_and_refresh(
                session, caller, export, export.status, "export_deleted", deleted_at=func.clock_timestamp()
            )

    @contextmanager
    def _lock_and_authorise(self, caller: Caller, export_id: UUID) -> Iterator[tuple[Session, Export]]:
        with self._lock_export(caller, export_id) as (session, export):
            if not caller.can_cancel_and_retry(export.org_id, export.requested_by):
                raise PermissionDeniedError("You may not cancel or retry this export.")
            yield session, export

    @contextmanager
    def _lock_export(self, caller: Caller, export_id: UUID) -> Iterator[tuple[Session, Export]]:
        """Lock the row in a transaction of the export's own organisation, because an operator belongs to none."""
        org_id = self._find_org_id(caller, export_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            yield (
                session,
                _existing_or_404(session.exec(select(Export).where(Export.id == export_id).with_for_update()).one()),
            )

    def _find_org_id(self, caller: Caller, export_id: UUID) -> str:
        with self._database.transaction(
            caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator
        ) as session:
            return _existing_or_404(session.get(Export, export_id)).org_id


def _existing_or_404(export: Export | None) -> Export:
    """Return the export; called before and after locking its row, because it may be deleted in between."""
    if export is None or export.deleted_at is not None:
        raise NotFoundError("There is no such export.")
    return export


def _is_repeat(session: Session, export: Export, idempotency_key: str) -> bool:
    """Return whether the key has already been used for a retry of this export."""
    new_id = uuid4()
    return (
        claim_idempotency_key(
            session,
            IdempotencyScope(export.org_id, _RETRY_OPERATION, idempotency_key),
            _ExportRetryBody(export_id=export.id),
            new_id,
        )
        != new_id
    )


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


def _transition_and_refresh(
    session: Session, caller: Caller, export: Export, status: ExportStatus, event: str, **values: Any
) -> Export:
    """Write the transition; its audit event carries the number of the new attempt, if there is one."""
    job = export.job.model_copy(update={"attempt": values.get("attempt", export.attempt)})
    transition_export(
        session,
        job,
        ExportTransitionEvent(status=status, event=event, actor=audit_trail.actor_from_user_id(caller.user_id)),
        **values,
    )
    session.refresh(export)
    return export
