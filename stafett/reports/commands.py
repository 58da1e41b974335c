"""Commands on an existing re-export: cancel and edit."""

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
    """Commands on re-exports. Each is one transaction with its audit event; Temporal is notified after the commit."""

    def __init__(self, database: Database, result_files: ResultFile) -> None:
        self._database = database
        self._result_files = result_files

    def cancel(self, caller: Caller, reexport_id: UUID) -> Reexport:
        """Request cancellation. Idempotent while cancelling."""
        with self._lock_and_authorise(caller, reexport_id) as (session, row):
            if row.status is ReexportStatus.CANCELLING:
                return row
            if row.status.is_final:
                raise InvalidStateError(f"The re-export has ended ({row.status}); there is nothing to cancel.")
            if row.status in RESULT_STORED_STATUSES:
                raise InvalidStateError("The new version is already in the history; there is nothing to cancel.")
            actor = audit_trail.actor_from_user_id(caller.user_id)
            transition = ReexportTransitionEvent(
                status=ReexportStatus.CANCELLING, event="cancel_requested", actor=actor
            )
            transition_reexport(session, row.job, transition)
            session.refresh(row)
            return row

    def edit(
        self, caller: Caller, reexport_id: UUID, edit: ReexportEdit, expected_revisions: Container[int] | None
    ) -> Reexport:
        """Update the editable fields, if the client's expected revision is current."""
        if edit.result_file_ref:
            # Read before the row is locked: a large file takes a while, and S3 may not respond.
            with self._lock_and_authorise(caller, reexport_id) as (session, row):
                values = self._validate_edit(session, caller, row, edit, expected_revisions)
            self._result_files.verify_content(values["file"])
        with self._lock_and_authorise(caller, reexport_id) as (session, row):
            values = self._validate_edit(session, caller, row, edit, expected_revisions)
            statement = update(Reexport).where(col(Reexport.id) == row.id)
            session.execute(statement.values(**values, edits=col(Reexport.edits) + 1))
            session.refresh(row)
            audit_trail.append_audit_event(session, _build_edit_entry(caller, row, edit))
            return row

    def _validate_edit(
        self,
        session: Session,
        caller: Caller,
        row: Reexport,
        edit: ReexportEdit,
        expected_revisions: Container[int] | None,
    ) -> dict[str, Any]:
        """Return the row's new values; the content of a new result file is not verified yet."""
        if not caller.can_edit(row.org_id, row.requested_by):
            raise PermissionDeniedError("You may cancel this re-export, but not edit it.")
        if edit.has_field("result_file_ref") and not caller.can_administer(row.org_id):
            raise PermissionDeniedError("Only an administrator may set result_file_ref.")
        _check_expected_revision(expected_revisions, row.edits)
        result = self._result_files.validate(session, row, edit.result_file_ref) if edit.result_file_ref else {}
        return _columns_from_edit(edit) | result

    @contextmanager
    def _lock_and_authorise(self, caller: Caller, reexport_id: UUID) -> Iterator[tuple[Session, Reexport]]:
        """Lock the row in a transaction that is bound to its organisation, because an operator belongs to none."""
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
            reexport = session.get(Reexport, reexport_id)
        if reexport is None:
            raise NotFoundError("There is no such re-export.")
        return reexport.org_id


def _check_expected_revision(expected_revisions: Container[int] | None, revision: int) -> None:
    if expected_revisions is None:
        raise PreconditionRequiredError("Send the re-export's ETag in an If-Match header.")
    if revision not in expected_revisions:
        raise PreconditionFailedError("The re-export was edited meanwhile; fetch it again.")


def _columns_from_edit(edit: ReexportEdit) -> dict[str, Any]:
    values: dict[str, Any] = {"label": edit.label} if edit.has_field("label") else {}
    if edit.notification_sent is not None:
        notified_at = func.coalesce(col(Reexport.notified_at), func.clock_timestamp())
        values["notified_at"] = notified_at if edit.notification_sent else None
    return values


def _build_edit_entry(caller: Caller, row: Reexport, edit: ReexportEdit) -> AuditEntry:
    """Record which fields were edited, never their values: a label is free text."""
    edited_fields = {name: True for name in ("label", "notification_sent", "result_file_ref") if edit.has_field(name)}
    actor = audit_trail.actor_from_user_id(caller.user_id)
    return build_reexport_audit_entry(row.job, actor, "reexport_edited", detail={**edited_fields, "edits": row.edits})
