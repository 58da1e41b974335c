"""Where a re-export's result lies, when an administrator says so: only what is the report's own, and the same file."""

import hashlib
from typing import Any

from sqlmodel import Session, col, select

from stafett.database.tables import Export, Reexport, ReportFileVersion
from stafett.domain.errors import InvalidFieldError, InvalidStateError, NotFoundError
from stafett.domain.reexport_status import RESULT_STORED_STATUSES
from stafett.reports.snapshots import is_expired
from stafett.storage.files import FileStorage

_FIELD = "result_file_ref"


class ResultFile:
    """A reference is taken only to the very bytes that the result has: nobody brings another file in by it."""

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage

    def validate(self, session: Session, row: Reexport, key: str) -> dict[str, Any]:
        """What the row is to say then."""
        if row.status not in RESULT_STORED_STATUSES or row.file is None:
            raise InvalidStateError(f"The re-export is {row.status}, and has no result yet.")
        owner = _find_owning_export(session, row, key) if _is_canonical_key(key) else None
        if owner is None:
            raise InvalidFieldError(_FIELD, "not_this_reports", "That is no object of this report's own.")
        if self._hash_object(key) != row.file["sha256"]:
            raise InvalidFieldError(_FIELD, "another_file", "That object is not there, or is another file.")
        return {"file": row.file | {"key": key}, "result_export_id": owner.id}

    def _hash_object(self, key: str) -> str | None:
        found = hashlib.sha256()
        try:
            for block in self._storage.read_chunks(key):
                found.update(block)
        except NotFoundError:
            return None
        return found.hexdigest()


def _is_canonical_key(key: str) -> bool:
    """Only what says where it lies itself; storage, or what is before it, would read the rest as another place."""
    return key.isprintable() and {"", ".", ".."}.isdisjoint(key.split("/"))


def _find_owning_export(session: Session, row: Reexport, key: str) -> Export | None:
    """The export in whose place it lies, if that is one of this report's versions and is kept."""
    query = (
        select(Export)
        .join(ReportFileVersion, col(ReportFileVersion.export_id) == col(Export.id))
        .where(col(ReportFileVersion.report_id) == row.report_id)
    )
    owners = (export for export in session.exec(query) if not is_expired(export))
    return next((export for export in owners if key.startswith(export.job.key_prefix)), None)
