"""The versions of mapping documents in PostgreSQL: administrators add them, and no version ever changes."""

from collections.abc import Container, Sequence
from datetime import date
from functools import lru_cache
from typing import LiteralString, NamedTuple
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry
from stafett.column_mapper import (
    InvalidMappingError,
    MappingDocument,
    MappingProgram,
    compile_mapping,
    validate_document,
)
from stafett.column_mapper.organisations import STANDARD, load_bundled_mappings
from stafett.database.session import Database
from stafett.database.tables import ColumnMappingVersion
from stafett.domain.errors import (
    ExportError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    require_revision,
)
from stafett.domain.export import Locale
from stafett.domain.export_outputs import EffectiveMapping, MappingVersion
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller

_CACHE_SIZE = 16
_MAX_LISTED = 50


class MappingDetails(NamedTuple):
    """A version, and the number of the latest one, which an edit must be based on."""

    mapping: ColumnMappingVersion
    latest_version: int


class AddMappingResult(NamedTuple):
    """The result of an edit. It is not new if the same document already was the latest version."""

    details: MappingDetails
    is_new: bool


class MappingService:
    """Reads and adds mapping versions for the API."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_effective(self, caller: Caller, org_id: str, day: date) -> MappingDetails:
        with self._database.transaction(_require_readable(caller, org_id), user_id=caller.user_id) as session:
            return _details_or_404(session, find_effective_version(session, org_id, day), org_id)

    def get_version(self, caller: Caller, org_id: str, version: int) -> MappingDetails:
        with self._database.transaction(_require_readable(caller, org_id), user_id=caller.user_id) as session:
            return _details_or_404(session, session.get(ColumnMappingVersion, (org_id, version)), org_id)

    def list_versions(self, caller: Caller, org_id: str) -> Sequence[ColumnMappingVersion]:
        """List the latest versions, newest first."""
        query = select(ColumnMappingVersion).where(ColumnMappingVersion.org_id == org_id)
        with self._database.transaction(_require_readable(caller, org_id), user_id=caller.user_id) as session:
            return session.exec(query.order_by(col(ColumnMappingVersion.version).desc()).limit(_MAX_LISTED)).all()

    def require_administrator(self, caller: Caller, org_id: str) -> None:
        """Raise unless the caller administers the organisation. The API checks this before it reads the body."""
        if not caller.can_administer(_require_readable(caller, org_id)):
            raise PermissionDeniedError("Only an administrator can change the column mapping.")

    def add(
        self, caller: Caller, org_id: str, document: MappingDocument, expected_revisions: Container[int] | None
    ) -> AddMappingResult:
        """Add a version based on the expected revision. Adding the latest document again returns the latest version."""
        self.require_administrator(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            latest_version = _find_latest_version(session, org_id)
            latest = session.get(ColumnMappingVersion, (org_id, latest_version))
            is_repeat = latest is not None and latest.sha256 == document.sha256
            if latest is not None or expected_revisions is not None:
                # A client whose response was lost repeats the edit with the revision before the one that it added.
                is_based_on_previous = is_repeat and latest_version - 1 in (expected_revisions or ())
                revision = None if latest is None else latest_version - is_based_on_previous
                require_revision(expected_revisions, revision, "column mapping")
            if latest is not None and is_repeat:
                return AddMappingResult(MappingDetails(latest, latest_version), is_new=False)
            added = _insert_version(session, org_id, latest_version + 1, document, caller.user_id)
            audit_trail.append_audit_event(session, _build_audit_entry(added, caller.actor))
            return AddMappingResult(MappingDetails(added, added.version), is_new=True)


def add_standard_mapping(session: Session, org_id: str, actor: str) -> Sequence[AuditEntry]:
    """Add the versions of the standard document to a new organisation; the caller appends the audit entries."""
    documents = enumerate(load_bundled_mappings(STANDARD), start=1)
    added = [_insert_version(session, org_id, version, document, None) for version, document in documents]
    return [_build_audit_entry(version, actor) for version in added]


def _build_audit_entry(added: ColumnMappingVersion, actor: str) -> AuditEntry:
    effective_from = added.effective_from.isoformat()
    return AuditEntry(
        org_id=added.org_id,
        actor=actor,
        event="column_mapping_added",
        subject_kind="column_mapping",
        subject_id=added.id,
        detail={"version": added.version, "sha256": added.sha256, "effective_from": effective_from},
    )


class MappingVersions:
    """Chooses the mapping version of a period for the worker, and compiles it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._load_cached = lru_cache(_CACHE_SIZE)(self._load)
        self._compile_cached = lru_cache(_CACHE_SIZE)(self._compile)

    def choose_version(
        self, connection: psycopg.Connection, org_id: str, first_day: date, last_day: date
    ) -> EffectiveMapping:
        """Choose and verify the version in force on the period's last day, before any row is read."""
        parameters = [org_id, first_day, last_day, org_id, last_day]
        row = connection.execute(_EFFECTIVE_VERSION_QUERY, parameters).fetchone()
        if row is None:
            raise _mapping_unavailable(
                "The organisation has no column mapping that is in force on the last day of the period."
            )
        version, sha256, change_dates = row
        mapping = EffectiveMapping(version=version, sha256=sha256, change_dates=tuple(change_dates))
        self.load_document(org_id, mapping)
        return mapping

    def load_document(self, org_id: str, mapping: MappingVersion) -> MappingDocument:
        """Load and verify a version that was chosen before; no version changes, so that it is loaded once."""
        return self._load_cached(org_id, mapping.version, mapping.sha256)

    def load_program(self, org_id: str, mapping: MappingVersion, locale: Locale) -> MappingProgram:
        return self._compile_cached(org_id, mapping.version, mapping.sha256, locale)

    def _load(self, org_id: str, version: int, sha256: str) -> MappingDocument:
        """Load a document that is valid and has the SHA-256 of its version. Raises ``ExportError`` otherwise."""
        with self._database.transaction(org_id) as session:
            stored = session.get(ColumnMappingVersion, (org_id, version))
        if stored is None:
            raise _mapping_unavailable("The column mapping of this export no longer exists.")
        try:
            document = validate_document(stored.document)
        except InvalidMappingError as error:
            raise _invalid_mapping() from error
        if document.sha256 != sha256:
            raise _mapping_unavailable("The column mapping of this organisation does not match its stored SHA-256.")
        return document

    def _compile(self, org_id: str, version: int, sha256: str, locale: Locale) -> MappingProgram:
        try:
            return compile_mapping(self._load_cached(org_id, version, sha256), locale)
        except InvalidMappingError as error:
            raise _invalid_mapping() from error


def _insert_version(
    session: Session, org_id: str, version: int, document: MappingDocument, created_by: UUID | None
) -> ColumnMappingVersion:
    statement = insert(ColumnMappingVersion).values(
        org_id=org_id,
        version=version,
        id=uuid4(),
        effective_from=document.effective_from,
        sha256=document.sha256,
        document=document.as_json(),
        created_by=created_by,
    )
    unless_taken = statement.on_conflict_do_nothing(index_elements=["org_id", "version"])
    added = session.scalars(unless_taken.returning(ColumnMappingVersion)).one_or_none()
    if added is None:  # a concurrent edit added this version first
        raise _edit_conflict()
    return added


def find_effective_version(session: Session, org_id: str, day: date) -> ColumnMappingVersion | None:
    """Find the version in force: of those with the latest ``effective_from`` up to ``day``, the one added last."""
    candidates = select(ColumnMappingVersion).where(
        ColumnMappingVersion.org_id == org_id, ColumnMappingVersion.effective_from <= day
    )
    latest_first = candidates.order_by(
        col(ColumnMappingVersion.effective_from).desc(), col(ColumnMappingVersion.version).desc()
    )
    return session.exec(latest_first.limit(1)).first()


# The version that `find_effective_version` finds, without its document.
_EFFECTIVE_VERSION_QUERY: LiteralString = """
SELECT version, sha256, (SELECT coalesce(array_agg(DISTINCT effective_from ORDER BY effective_from), '{}')
                         FROM column_mappings WHERE org_id = %s AND effective_from > %s AND effective_from <= %s)
FROM column_mappings WHERE org_id = %s AND effective_from <= %s
ORDER BY effective_from DESC, version DESC LIMIT 1
"""


def _details_or_404(session: Session, mapping: ColumnMappingVersion | None, org_id: str) -> MappingDetails:
    if mapping is None:
        raise NotFoundError("There is no such column mapping.")
    return MappingDetails(mapping, _find_latest_version(session, org_id))


def _find_latest_version(session: Session, org_id: str) -> int:
    latest = select(func.max(ColumnMappingVersion.version)).where(ColumnMappingVersion.org_id == org_id)
    return session.exec(latest).one() or 0


def _require_readable(caller: Caller, org_id: str) -> str:
    if caller.is_operator:
        raise PermissionDeniedError("Operators can see jobs and their statuses, but not their contents.")
    if caller.org_id != org_id:
        raise NotFoundError("There is no such organisation.")
    return org_id


def _edit_conflict() -> PreconditionFailedError:
    return PreconditionFailedError(
        "The mapping has changed since the version that this edit is based on. Read it again and repeat the edit."
    )


def _invalid_mapping() -> ExportError:
    return _mapping_unavailable("The column mapping of this organisation is invalid and must be corrected.")


def _mapping_unavailable(message: str) -> ExportError:
    return ExportError(ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, message)
