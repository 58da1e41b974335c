"""Commands on an existing re-export: cancel and edit."""

from collections.abc import Container
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlmodel import Session, col

from stafett.database.session import Database
from stafett.database.tables import Reexport
from stafett.domain.errors import InvalidStateError, PermissionDeniedError, require_revision
from stafett.domain.membership import Caller
from stafett.domain.reexport import ReexportEdit
from stafett.domain.reexport_status import RESULT_STORED_STATUSES
from stafett.jobs.commands import lock_for_command, request_cancel
from stafett.jobs.state import JobEvent, append_job_event, update_job
from stafett.reports.result_file import ResultFile

_FIELDS = ("label", "notification_sent", "result_file_ref")


class ReexportCommands:
    """Commands on re-exports. Each is one transaction with its audit event; Temporal is notified after the commit."""

    def __init__(self, database: Database, result_files: ResultFile) -> None:
        self._database = database
        self._result_files = result_files

    def cancel(self, caller: Caller, reexport_id: UUID) -> Reexport:
        """Request cancellation. Idempotent while cancelling."""
        with lock_for_command(self._database, caller, Reexport, reexport_id) as (session, row):
            if row.status in RESULT_STORED_STATUSES:
                raise InvalidStateError("The new version is already in the history; there is nothing to cancel.")
            return request_cancel(session, caller, row)

    def edit(
        self, caller: Caller, reexport_id: UUID, edit: ReexportEdit, expected_revisions: Container[int] | None
    ) -> Reexport:
        """Update the editable fields, if the client's expected revision is current."""
        if edit.result_file_ref:
            # Read before the row is locked: a large file takes a while, and S3 may not respond.
            with lock_for_command(self._database, caller, Reexport, reexport_id) as (session, row):
                values = self._validate_edit(session, caller, row, edit, expected_revisions)
            self._result_files.verify_content(values["file"])
        with lock_for_command(self._database, caller, Reexport, reexport_id) as (session, row):
            values = self._validate_edit(session, caller, row, edit, expected_revisions)
            update_job(session, row, **values, edits=col(Reexport.edits) + 1)
            # The event has the names of the edited fields, never their values: a label is free text.
            fields = {name: True for name in _FIELDS if edit.has_field(name)}
            event = JobEvent("reexport_edited", caller.actor, {**fields, "edits": row.edits})
            append_job_event(session, row, event)
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
        require_revision(expected_revisions, row.edits, "re-export")
        result = self._result_files.validate(session, row, edit.result_file_ref) if edit.result_file_ref else {}
        return _columns_from_edit(edit) | result


def _columns_from_edit(edit: ReexportEdit) -> dict[str, Any]:
    values: dict[str, Any] = {"label": edit.label} if edit.has_field("label") else {}
    if edit.notification_sent is not None:
        notified_at = func.coalesce(col(Reexport.notified_at), func.clock_timestamp())
        values["notified_at"] = notified_at if edit.notification_sent else None
    return values
