"""Validates ``result_file_ref``, with which an administrator moves a re-export's result to another object."""

import hashlib
from contextlib import suppress
from typing import Any

from sqlmodel import Session, col, select

from stafett.database.tables import Export, JsonObject, Reexport, ReportFileVersion
from stafett.domain.errors import InvalidFieldError, InvalidStateError, NotFoundError
from stafett.domain.reexport_status import RESULT_STORED_STATUSES
from stafett.reports.snapshots import is_expired
from stafett.storage.files import FileStorage

_FIELD = "result_file_ref"


class ResultFile:
    """Accepts only an object of the report with the result's exact bytes, so that no other file can be substituted."""

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage

    def validate(self, session: Session, row: Reexport, key: str) -> dict[str, Any]:
        """Return the row's new values; raise if the re-export has no result or the object is not acceptable.

        The caller verifies the object's content with ``verify_content``, outside the transaction.
        """
        if row.status not in RESULT_STORED_STATUSES or row.file is None:
            raise InvalidStateError(f"The re-export is {row.status} and has no result yet.")
        owner = _find_owning_export(session, row, key) if _is_canonical_key(key) else None
        if owner is None:
            raise InvalidFieldError(_FIELD, "not_this_reports", "The object does not belong to this report.")
        return {"file": row.file | {"key": key}, "result_export_id": owner.id}

    def verify_content(self, file: JsonObject) -> None:
        """Read the object and raise if its hash is not the result's."""
        digest = hashlib.sha256()
        with suppress(NotFoundError):
            for block in self._storage.read_chunks(file["key"]):
                digest.update(block)
            if digest.hexdigest() == file["sha256"]:
                return
        raise InvalidFieldError(_FIELD, "another_file", "The object does not exist or has other content.")


def _is_canonical_key(key: str) -> bool:
    """Check that storage, or a proxy before it, cannot normalise the key to another path."""
    return key.isprintable() and {"", ".", ".."}.isdisjoint(key.split("/"))


def _find_owning_export(session: Session, row: Reexport, key: str) -> Export | None:
    """Return the export under whose prefix the object is stored, if it is a version of this report and not expired."""
    query = (
        select(Export)
        .join(ReportFileVersion, col(ReportFileVersion.export_id) == col(Export.id))
        .where(col(ReportFileVersion.report_id) == row.report_id)
    )
    owners = (export for export in session.exec(query) if not is_expired(export))
    return next((export for export in owners if key.startswith(export.job.key_prefix)), None)
