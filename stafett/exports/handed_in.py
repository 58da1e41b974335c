"""Versions of reports that were handed in to Bufdir, whose files are removed after a confirmation or their retention.

The view ``handed_in_versions`` has the rule, and a trigger rejects any other removal of a protected file.
"""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, column, func, select, table
from sqlmodel import Session, col

from stafett.audit.trail import EventDetail
from stafett.database.tables import Export
from stafett.domain.errors import HandedInError
from stafett.domain.export_job import ExportJob

_VERSIONS = table(
    "handed_in_versions",
    *(column(name) for name in ("org_id", "export_id", "report_id", "version", "is_protected")),
)


class RemovalConfirmation(StrEnum):
    """What a caller knows about the files that a command removes."""

    HANDED_IN = "handed_in"


class HandedInVersion(NamedTuple):
    """A version of a report that was handed in, and whether its retention has not ended."""

    report_id: UUID
    version: int
    is_protected: bool

    @property
    def detail(self) -> EventDetail:
        """The version in the details of an audit event."""
        return {"report_id": str(self.report_id), "handed_in_version": self.version}


def find_handed_in_version(session: Session, job: ExportJob) -> HandedInVersion | None:
    """Return the version whose file is stored under the export's prefix, a protected one before others."""
    columns = (_VERSIONS.c[name] for name in HandedInVersion._fields)
    is_of_export = and_(_VERSIONS.c.org_id == job.org_id, _VERSIONS.c.export_id == job.export_id)
    query = select(*columns).where(is_of_export).order_by(_VERSIONS.c.is_protected.desc(), _VERSIONS.c.version)
    row = session.execute(query.limit(1)).one_or_none()
    return HandedInVersion(*row) if row else None


def require_confirmation(
    session: Session, job: ExportJob, confirmation: RemovalConfirmation | None, *, protected_only: bool = False
) -> HandedInVersion | None:
    """Let the transaction remove the export's files if none was handed in, or if the removal of it is confirmed.

    Return the version that was handed in, if any; raise if its removal is not confirmed.

    The caller has locked the export, so that no version of it is marked as handed in meanwhile.
    """
    version = find_handed_in_version(session, job)
    if version is not None and (version.is_protected or not protected_only):
        if confirmation is not RemovalConfirmation.HANDED_IN:
            raise HandedInError(version.report_id, version.version)
        session.execute(select(func.set_config("app.confirm", RemovalConfirmation.HANDED_IN, True)))
    return version


def is_handed_in(*, protected_only: bool = False) -> ColumnElement[bool]:
    """Match exports with the file of a version that was handed in."""
    is_of_export = and_(_VERSIONS.c.org_id == col(Export.org_id), _VERSIONS.c.export_id == col(Export.id))
    condition = and_(is_of_export, _VERSIONS.c.is_protected) if protected_only else is_of_export
    return select(_VERSIONS.c.version).where(condition).exists()
