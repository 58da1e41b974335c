"""What people do to a job that is there: cancel it, try it again, delete it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert
from sqlmodel import Session, select

from stafett.audit import trail as audit_trail
from stafett.database.idempotency import OperationKey, claim_key
from stafett.database.session import Database
from stafett.database.tables import Export, ExportAttempt, ExportStageOutput
from stafett.domain.errors import InvalidStateError, NotFoundError, PermissionDeniedError
from stafett.domain.export import ExportOrigin
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.exports.state import ExportTransitionEvent, delete_outputs, has_open_reexport, transition_export

_RETRY_OPERATION = "bufdir-exports.retry"
_RETRYABLE = frozenset({ExportStatus.FAILED, ExportStatus.CANCELLED})
_OUTCOME_COLUMNS = ("error", "completed_at", "progress", "tidied_at", "files_removed_at")


class _ExportRetryBody(FrozenModel):
    """What an idempotency key for another try stands for."""

    export_id: UUID


class ExportCommands:
    """Each of them one transaction, with its audit event; the engine hears of it afterwards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, caller: Caller, export_id: UUID) -> Export:
        """Have it stop; once more while it stops is no mistake."""
        with self._lock_and_authorise(caller, export_id) as (session, export):
            if export.status is ExportStatus.CANCELLING:
                return export
            if export.status.is_final:
                raise InvalidStateError(f"The export has ended ({export.status}); there is nothing to cancel.")
            return _transition_and_refresh(session, caller, export, ExportStatus.CANCELLING, "cancel_requested")

    def retry(self, caller: Caller, export_id: UUID, idempotency_key: str | None = None) -> tuple[Export, bool]:
        """A new attempt under the same id, and whether it was this very call that made it."""
        with self._lock_and_authorise(caller, export_id) as (session, export):
            if export.origin is ExportOrigin.REEXPORT:
                raise InvalidStateError("This export is part of a re-export; a new re-export tries it again.")
            if idempotency_key and _is_repeat(session, export, idempotency_key):
                return export, False
            if export.status not in _RETRYABLE:
                raise InvalidStateError(
                    f"Only what failed or was cancelled is tried again; this export is {export.status}."
                )
            reused = _finished_stages(session, export)
            attempt = insert(ExportAttempt).values(
                export_id=export.id,
                number=export.attempt + 1,
                org_id=export.org_id,
                resumed_from=_resume_stage(export, reused),
                stages_reused=reused,
            )
            session.execute(attempt)
            anew = {"attempt": export.attempt + 1, **dict.fromkeys(_OUTCOME_COLUMNS)}
            return _transition_and_refresh(
                session, caller, export, ExportStatus.INITIALISED, "retry_requested", **anew
            ), True

    def delete(self, caller: Caller, export_id: UUID) -> Export:
        """Take an ended one out of sight; what it leaves in storage is removed by whoever can reach it."""
        with self._lock_export(caller, export_id) as (session, export):
            if not caller.can_administer(export.org_id):
                raise PermissionDeniedError("Only an administrator of the organisation deletes an export.")
            if not export.status.is_final:
                raise InvalidStateError(f"The export is {export.status}; cancel it first.")
            if has_open_reexport(session, export):
                raise InvalidStateError("This export is part of a re-export that has not ended; cancel that first.")
            return _transition_and_refresh(
                session, caller, export, export.status, "export_deleted", deleted_at=func.clock_timestamp()
            )

    @contextmanager
    def _lock_and_authorise(self, caller: Caller, export_id: UUID) -> Iterator[tuple[Session, Export]]:
        with self._lock_export(caller, export_id) as (session, export):
            if not caller.can_cancel_and_retry(export.org_id, export.requested_by):
                raise PermissionDeniedError("You may not cancel this export or try it again.")
            yield session, export

    @contextmanager
    def _lock_export(self, caller: Caller, export_id: UUID) -> Iterator[tuple[Session, Export]]:
        """The row, held, in a transaction that is bound to its organisation: an operator belongs to none."""
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
    """Asked twice, before the row is held and after it: somebody may delete it in between."""
    if export is None or export.deleted_at is not None:
        raise NotFoundError("There is no such export.")
    return export


def _is_repeat(session: Session, export: Export, idempotency_key: str) -> bool:
    """A key stands for one retry of one export."""
    receipt = uuid4()
    return (
        claim_key(
            session,
            OperationKey(export.org_id, _RETRY_OPERATION, idempotency_key),
            _ExportRetryBody(export_id=export.id),
            receipt,
        )
        != receipt
    )


def _finished_stages(session: Session, export: Export) -> Sequence[ExportStatus]:
    """In their order: of a cancelled export none, nor of one whose snapshot was kept no longer."""
    if export.files_removed_at is not None:
        delete_outputs(session, export.job)
    finished = session.exec(select(ExportStageOutput.stage).where(ExportStageOutput.export_id == export.id)).all()
    return [stage for stage in EXPORT_STAGES if stage in set(finished)]


def _resume_stage(export: Export, finished_stages: Sequence[ExportStatus]) -> ExportStatus | None:
    """Where the work goes on, if anything of it stands."""
    if not finished_stages:
        return None
    has_bundle = export.parameters.get("include_attachments", False)
    needed = (stage for stage in EXPORT_STAGES if has_bundle or stage is not ExportStatus.BUNDLING_ATTACHMENTS)
    return next(stage for stage in needed if stage not in finished_stages)


def _transition_and_refresh(
    session: Session, caller: Caller, export: Export, status: ExportStatus, event: str, **values: Any
) -> Export:
    """The step is told of the attempt that it leads to."""
    job = export.job.model_copy(update={"attempt": values.get("attempt", export.attempt)})
    transition_export(
        session,
        job,
        ExportTransitionEvent(status=status, event=event, actor=audit_trail.actor_from_user_id(caller.user_id)),
        **values,
    )
    session.refresh(export)
    return export
