"""What people do to a re-export that is there: stop it, and write something down on it."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry
from stafett.database.session import Database
from stafett.database.tables import Reexport
from stafett.domain.errors import (
    InvalidStateError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
)
from stafett.domain.membership import Caller
from stafett.domain.reexport import ReexportEdit
from stafett.domain.reexport_status import RESULT_STORED_STATUSES, ReexportStatus
from stafett.reports.result_file import ResultReference
from stafett.reports.state import ReexportStep, entry_of, move_reexport


class ReexportControl:
    """Each of them one transaction, with its audit event; the engine hears of it afterwards."""

    def __init__(self, database: Database, references: ResultReference) -> None:
        self._database = database
        self._references = references

    def cancel(self, caller: Caller, reexport_id: UUID) -> Reexport:
        """Have it stop; once more while it stops is no mistake."""
        with self._steered(caller, reexport_id) as (session, row):
            if row.status is ReexportStatus.CANCELLING:
                return row
            if row.status.is_final:
                raise InvalidStateError(f"The re-export has ended ({row.status}); there is nothing to cancel.")
            if row.status in RESULT_STORED_STATUSES:
                raise InvalidStateError("The new version is in the history already; there is nothing left to cancel.")
            actor = audit_trail.actor_from_user_id(caller.user_id)
            step = ReexportStep(status=ReexportStatus.CANCELLING, event="cancel_requested", actor=actor)
            move_reexport(session, row.job, step)
            session.refresh(row)
            return row

    def edit(self, caller: Caller, reexport_id: UUID, edit: ReexportEdit, seen: Container[int] | None) -> Reexport:
        """Write down what people say of it; said on the basis of what the client has seen."""
        with self._steered(caller, reexport_id) as (session, row):
            if edit.has_field("result_file_ref") and not caller.can_administer(row.org_id):
                raise PermissionDeniedError("Only an administrator says where the result lies.")
            _require_seen(seen, row.edits)
            values = _written(edit) | self._result(session, row, edit)
            edited = update(Reexport).where(col(Reexport.id) == row.id)
            session.execute(edited.values(**values, edits=col(Reexport.edits) + 1))
            session.refresh(row)
            audit_trail.append_audit_event(session, _edited(caller, row, edit))
            return row

    def _result(self, session: Session, row: Reexport, edit: ReexportEdit) -> dict[str, Any]:
        return self._references.checked(session, row, edit.result_file_ref) if edit.result_file_ref else {}

    @contextmanager
    def _steered(self, caller: Caller, reexport_id: UUID) -> Iterator[tuple[Session, Reexport]]:
        """The row, held, in a transaction that is bound to its organisation: an operator belongs to none."""
        org_id = self._organisation_of(caller, reexport_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            query = select(Reexport).where(Reexport.id == reexport_id).with_for_update()
            row = session.exec(query).one()
            if not caller.can_cancel_and_retry(row.org_id, row.requested_by):
                raise PermissionDeniedError("You may not cancel or edit this re-export.")
            yield session, row

    def _organisation_of(self, caller: Caller, reexport_id: UUID) -> str:
        with self._database.transaction(
            caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator
        ) as session:
            found = session.get(Reexport, reexport_id)
        if found is None:
            raise NotFoundError("There is no such re-export.")
        return found.org_id


def _require_seen(seen: Container[int] | None, edits: int) -> None:
    if seen is None:
        raise PreconditionRequiredError("Say with If-Match which state of the re-export this is based on.")
    if edits not in seen:
        raise PreconditionFailedError("The re-export was edited meanwhile; look at it again.")


def _written(edit: ReexportEdit) -> dict[str, Any]:
    values: dict[str, Any] = {"label": edit.label} if edit.has_field("label") else {}
    if edit.notification_sent is not None:
        is_told = func.coalesce(col(Reexport.notified_at), func.clock_timestamp())
        values["notified_at"] = is_told if edit.notification_sent else None
    return values


def _edited(caller: Caller, row: Reexport, edit: ReexportEdit) -> AuditEntry:
    """Which things were written, and never what: a label is people's own words."""
    said = {name: True for name in ("label", "notification_sent", "result_file_ref") if edit.has_field(name)}
    actor = audit_trail.actor_from_user_id(caller.user_id)
    return entry_of(row.job, actor, "reexport_edited", detail={**said, "edits": row.edits})
