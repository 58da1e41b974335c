"""Mapping documents in PostgreSQL: versions are added by admins, chosen by day, and never changed."""

import json
from collections.abc import Container, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID, uuid4

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
from stafett.database.session import Database
from stafett.database.tables import ColumnMappingVersion
from stafett.domain.errors import (
    ExportError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
)
from stafett.domain.export import Locale
from stafett.domain.export_outputs import EffectiveMapping
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller

_CACHE_SIZE = 16


class MappingDetails(NamedTuple):
    """A version, and how many there are: the number that an edit has to have seen."""

    mapping: ColumnMappingVersion
    latest_version: int


class AddMappingResult(NamedTuple):
    """What an edit led to; ``is_new`` unless the very same document was the newest already."""

    details: MappingDetails
    is_new: bool


class MappingService:
    """The gateway's side."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_effective(self, caller: Caller, org_id: str, day: date) -> MappingDetails:
        with self._database.transaction(_require_readable(caller, org_id), user_id=caller.user_id) as session:
            return _details_or_404(session, effective_on(session, org_id, day), org_id)

    def get_version(self, caller: Caller, org_id: str, version: int) -> MappingDetails:
        with self._database.transaction(_require_readable(caller, org_id), user_id=caller.user_id) as session:
            return _details_or_404(session, session.get(ColumnMappingVersion, (org_id, version)), org_id)

    def require_administrator(self, caller: Caller, org_id: str) -> None:
        """Asked before anything of an edit is looked at."""
        if not caller.can_administer(_require_readable(caller, org_id)):
            raise PermissionDeniedError("Only an administrator changes the column mapping.")

    def add(
        self, caller: Caller, org_id: str, document: MappingDocument, expected_revisions: Container[int] | None
    ) -> AddMappingResult:
        """Add a version on top of those the caller has seen; the newest one again is that one."""
        self.require_administrator(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            versions = _latest_version(session, org_id)
            newest = session.get(ColumnMappingVersion, (org_id, versions))
            is_there = newest is not None and newest.sha256 == document.sha256
            _check_expected_revision(versions, expected_revisions, is_repeat=is_there)
            if newest is not None and is_there:
                return AddMappingResult(MappingDetails(newest, versions), is_new=False)
            added = _insert_version(session, org_id, versions + 1, document, caller.user_id)
            audit_trail.append_audit_event(session, _added_audit_entry(added, caller))
            return AddMappingResult(MappingDetails(added, added.version), is_new=True)


def _check_expected_revision(
    latest_version: int, expected_revisions: Container[int] | None, *, is_repeat: bool
) -> None:
    """Who sends the newest one again, because the answer got lost, has seen the one before it."""
    if latest_version and expected_revisions is None:
        raise PreconditionRequiredError("Say with If-Match which state of the mapping this edit is based on.")
    if expected_revisions is None:
        return
    is_known = latest_version in expected_revisions or (is_repeat and latest_version - 1 in expected_revisions)
    if not latest_version or not is_known:
        raise _edit_conflict()


def _added_audit_entry(added: ColumnMappingVersion, caller: Caller) -> AuditEntry:
    effective_from = added.effective_from.isoformat()
    return AuditEntry(
        org_id=added.org_id,
        actor=audit_trail.actor_from_user_id(caller.user_id),
        event="column_mapping_added",
        subject_kind="column_mapping",
        subject_id=added.id,
        detail={"version": added.version, "sha256": added.sha256, "effective_from": effective_from},
    )


class MappingVersions:
    """The worker's side: which version a period is reported by, and that version as a program."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._load_cached = lru_cache(_CACHE_SIZE)(_load_with_hash)
        self._compile_cached = lru_cache(_CACHE_SIZE)(self._compile)

    def choose_version(self, org_id: str, first_day: date, last_day: date) -> EffectiveMapping:
        """The version of the period's last day, sound and whole; this is asked before any row is read."""
        with self._database.transaction(org_id) as session:
            mapping = effective_on(session, org_id, last_day)
            if mapping is None:
                raise _mapping_unavailable(
                    "This organisation has no column mapping that is in force at the period's end."
                )
            self._verify(mapping)
            changes = _find_changes(session, org_id, first_day, last_day)
            return EffectiveMapping(version=mapping.version, sha256=mapping.sha256, change_dates=tuple(changes))

    def load_document(self, org_id: str, version: int) -> MappingDocument:
        """A version that was chosen once."""
        return self._verify(self._get_version(org_id, version))

    def load_program(self, org_id: str, version: int, locale: Locale) -> MappingProgram:
        mapping = self._get_version(org_id, version)
        self._verify(mapping)
        return self._compile_cached(_document_json(mapping), locale)

    def _get_version(self, org_id: str, version: int) -> ColumnMappingVersion:
        with self._database.transaction(org_id) as session:
            mapping = session.get(ColumnMappingVersion, (org_id, version))
        if mapping is None:
            raise _mapping_unavailable("The column mapping of this export is not there any more.")
        return mapping

    def _verify(self, mapping: ColumnMappingVersion) -> MappingDocument:
        """The document as it was when it was added, and still one that compiles."""
        document, sha256 = self._load_cached(_document_json(mapping))
        if sha256 != mapping.sha256:
            raise _mapping_unavailable("The column mapping of this organisation is not what it was when it was added.")
        return document

    def _compile(self, content: str, locale: Locale) -> MappingProgram:
        document, _ = self._load_cached(content)
        try:
            return compile_mapping(document, locale)
        except InvalidMappingError as error:
            raise _invalid_mapping() from error


def _insert_version(
    session: Session, org_id: str, version: int, document: MappingDocument, created_by: UUID
) -> ColumnMappingVersion:
    row = insert(ColumnMappingVersion).values(
        org_id=org_id,
        version=version,
        id=uuid4(),
        effective_from=document.effective_from,
        sha256=document.sha256,
        document=document.as_json(),
        created_by=created_by,
    )
    alone = row.on_conflict_do_nothing(index_elements=["org_id", "version"]).returning(ColumnMappingVersion)
    added = session.scalars(alone).one_or_none()
    if added is None:  # of two at once, one was first
        raise _edit_conflict()
    return added


def effective_on(session: Session, org_id: str, day: date) -> ColumnMappingVersion | None:
    """The newest of the versions with the latest day that has come."""
    begun = select(ColumnMappingVersion).where(
        ColumnMappingVersion.org_id == org_id, ColumnMappingVersion.effective_from <= day
    )
    latest_first = begun.order_by(
        col(ColumnMappingVersion.effective_from).desc(), col(ColumnMappingVersion.version).desc()
    )
    return session.exec(latest_first.limit(1)).first()


def _find_changes(session: Session, org_id: str, first_day: date, last_day: date) -> Sequence[date]:
    day = col(ColumnMappingVersion.effective_from)
    within = select(day).where(ColumnMappingVersion.org_id == org_id, day > first_day, day <= last_day)
    return session.exec(within.distinct().order_by(day)).all()


def _load_with_hash(content: str) -> tuple[MappingDocument, str]:
    """With its hash. It is remembered by every letter of it: whoever changes one, is read anew."""
    try:
        document = validate_document(json.loads(content))
    except InvalidMappingError as error:
        raise _invalid_mapping() from error
    return document, document.sha256


def _document_json(mapping: ColumnMappingVersion) -> str:
    return json.dumps(mapping.document)


def _details_or_404(session: Session, mapping: ColumnMappingVersion | None, org_id: str) -> MappingDetails:
    if mapping is None:
        raise NotFoundError("There is no such column mapping.")
    return MappingDetails(mapping, _latest_version(session, org_id))


def _latest_version(session: Session, org_id: str) -> int:
    newest = select(func.max(ColumnMappingVersion.version)).where(ColumnMappingVersion.org_id == org_id)
    return session.exec(newest).one() or 0


def _require_readable(caller: Caller, org_id: str) -> str:
    if caller.is_operator:
        raise PermissionDeniedError("An operator sees jobs and states, not what is in them.")
    if caller.org_id != org_id:
        raise NotFoundError("There is no such organisation.")
    return org_id


def _edit_conflict() -> PreconditionFailedError:
    return PreconditionFailedError("The mapping has other versions than this edit is based on; read it again.")


def _invalid_mapping() -> ExportError:
    return _mapping_unavailable("The column mapping of this organisation cannot be used; it has to be mended.")


def _mapping_unavailable(message: str) -> ExportError:
    return ExportError(ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, message)
