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
from stafett.reports.result_file import ResultFile
from stafett.reports.state import ReexportTransitionEvent, build_reexport_audit_entry, transition_reexport


class ReexportCommands:
    """Each of them one transaction, with its audit event; the engine hears of it afterwards."""

    def __init__(self, database: Database, result_files: ResultFile) -> None:
        self._database = database
        self._result_files = result_files

    def cancel(self, caller: Caller, reexport_id: UUID) -> Reexport:
        """Have it stop; once more while it stops is no mistake."""
        with self._lock_and_authorise(caller, reexport_id) as (session, row):
            if row.status is ReexportStatus.CANCELLING:
                return row
            if row.status.is_final:
                raise InvalidStateError(f"The re-export has ended ({row.status}); there is nothing to cancel.")
            if row.status in RESULT_STORED_STATUSES:
                raise InvalidStateError("The new version is in the history already; there is nothing left to cancel.")
            actor = audit_trail.actor_from_user_id(caller.user_id)
            step = ReexportTransitionEvent(status=ReexportStatus.CANCELLING, event="cancel_requested", actor=actor)
            transition_reexport(session, row.job, step)
            session.refresh(row)
            return row

    def edit(
        self, caller: Caller, reexport_id: UUID, edit: ReexportEdit, expected_revisions: Container[int] | None
    ) -> Reexport:
        """Write down what people say of it; said on the basis of what the client has seen."""
        with self._lock_and_authorise(caller, reexport_id) as (session, row):
            if edit.has_field("result_file_ref") and not caller.can_administer(row.org_id):
                raise PermissionDeniedError("Only an administrator says where the result lies.")
            _check_expected_revision(expected_revisions, row.edits)
            values = _columns_from_edit(edit) | self._validate_result(session, row, edit)
            edited = update(Reexport).where(col(Reexport.id) == row.id)
            session.execute(edited.values(**values, edits=col(Reexport.edits) + 1))
            session.refresh(row)
            audit_trail.append_audit_event(session, _build_edit_entry(caller, row, edit))
            return row

    def _validate_result(self, session: Session, row: Reexport, edit: ReexportEdit) -> dict[str, Any]:
        return self._result_files.validate(session, row, edit.result_file_ref) if edit.result_file_ref else {}

    @contextmanager
    def _lock_and_authorise(self, caller: Caller, reexport_id: UUID) -> Iterator[tuple[Session, Reexport]]:
        """The row, held, in a transaction that is bound to its organisation: an operator belongs to none."""
        org_id = self._find_org_id(caller, reexport_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            query = select(Reexport).where(Reexport.id == reexport_id).with_for_update()
            row = session.exec(query).one()
            if not caller.can_cancel_and_retry(row.org_id, row.requested_by):
                raise PermissionDeniedError("You may not cancel or edit this re-export.")
            yield session, row

    def _find_org_id(self, caller: Caller, reexport_id: UUID) -> str:
        with self._database.transaction(
            caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator
        ) as session:
            found = session.get(Reexport, reexport_id)
        if found is None:
            raise NotFoundError("There is no such re-export.")
        return found.org_id


def _check_expected_revision(expected_revisions: Container[int] | None, revision: int) -> None:
    if expected_revisions is None:
        raise PreconditionRequiredError("Say with If-Match which state of the re-export this is based on.")
    if revision not in expected_revisions:
        raise PreconditionFailedError("The re-export was edited meanwhile; look at it again.")


def _columns_from_edit(edit: ReexportEdit) -> dict[str, Any]:
    values: dict[str, Any] = {"label": edit.label} if edit.has_field("label") else {}
    if edit.notification_sent is not None:
        is_told = func.coalesce(col(Reexport.notified_at), func.clock_timestamp())
        values["notified_at"] = is_told if edit.notification_sent else None
    return values


def _build_edit_entry(caller: Caller, row: Reexport, edit: ReexportEdit) -> AuditEntry:
    """Which things were written, and never what: a label is people's own words."""
    said = {name: True for name in ("label", "notification_sent", "result_file_ref") if edit.has_field(name)}
    actor = audit_trail.actor_from_user_id(caller.user_id)
    return build_reexport_audit_entry(row.job, actor, "reexport_edited", detail={**said, "edits": row.edits})
