"""What happened to one export, for those who may know it."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import AuditEvent, Export
from stafett.domain.errors import NotFoundError, PermissionDeniedError
from stafett.domain.membership import Caller


class ExportTrail:
    """An export's events out of its organisation's chain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def events(self, caller: Caller, export_id: UUID, *, after: int, page_size: int) -> Sequence[AuditEvent]:
        """Oldest first, one more than a page: whoever sees it knows that there is a next one."""
        with self._database.transaction(caller.org_id, user_id=caller.user_id, operator=caller.is_operator) as session:
            export = session.get(Export, export_id)
            if export is None:
                raise NotFoundError("There is no such export.")
            if not caller.may_read_audit_of(export.org_id, export.requested_by):
                raise PermissionDeniedError("You may not read the audit trail of this export.")
            of_this_export = (col(AuditEvent.org_id) == export.org_id, col(AuditEvent.subject_id) == export_id)
            later = select(AuditEvent).where(*of_this_export, col(AuditEvent.seq) > after)
            return session.exec(later.order_by(col(AuditEvent.seq)).limit(page_size + 1)).all()
