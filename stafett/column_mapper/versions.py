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
from stafett.column_mapper import InvalidMappingError, MappingDocument, MappingProgram, compile_mapping, read_document
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

_MOST_REMEMBERED = 16


class MappingFound(NamedTuple):
    """A version, and how many there are: the number that an edit has to have seen."""

    mapping: ColumnMappingVersion
    versions: int


class AddedMapping(NamedTuple):
    """What an edit led to; ``is_new`` unless the very same document was the newest already."""

    found: MappingFound
    is_new: bool


class ColumnMappings:
    """The gateway's side."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def in_force(self, caller: Caller, org_id: str, day: date) -> MappingFound:
        with self._database.transaction(_readable_by(caller, org_id), user_id=caller.user_id) as session:
            return _found(session, in_force_on(session, org_id, day), org_id)

    def version(self, caller: Caller, org_id: str, version: int) -> MappingFound:
        with self._database.transaction(_readable_by(caller, org_id), user_id=caller.user_id) as session:
            return _found(session, session.get(ColumnMappingVersion, (org_id, version)), org_id)

    def require_administrator(self, caller: Caller, org_id: str) -> None:
        """Asked before anything of an edit is looked at."""
        if not caller.can_administer(_readable_by(caller, org_id)):
            raise PermissionDeniedError("Only an administrator changes the column mapping.")

    def add(self, caller: Caller, org_id: str, document: MappingDocument, seen: Container[int] | None) -> AddedMapping:
        """Add a version on top of those the caller has seen; the newest one again is that one."""
        self.require_administrator(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            versions = _versions(session, org_id)
            newest = session.get(ColumnMappingVersion, (org_id, versions))
            is_there = newest is not None and newest.sha256 == document.sha256
            _require_seen(versions, seen, is_there=is_there)
            if newest is not None and is_there:
                return AddedMapping(MappingFound(newest, versions), is_new=False)
            added = _inserted(session, org_id, versions + 1, document, caller.user_id)
            audit_trail.append_audit_event(session, _event(added, caller))
            return AddedMapping(MappingFound(added, added.version), is_new=True)


def _require_seen(versions: int, seen: Container[int] | None, *, is_there: bool) -> None:
    """Who sends the newest one again, because the answer got lost, has seen the one before it."""
    if versions and seen is None:
        raise PreconditionRequiredError("Say with If-Match which state of the mapping this edit is based on.")
    if seen is None:
        return
    is_known = versions in seen or (is_there and versions - 1 in seen)
    if not versions or not is_known:
        raise _changed_meanwhile()


def _event(added: ColumnMappingVersion, caller: Caller) -> AuditEntry:
    effective_from = added.effective_from.isoformat()
    return AuditEntry(
        org_id=added.org_id,
        actor=audit_trail.actor_from_user_id(caller.user_id),
        event="column_mapping_added",
        subject_kind="column_mapping",
        subject_id=added.id,
        detail={"version": added.version, "sha256": added.sha256, "effective_from": effective_from},
    )


class MappingsInUse:
    """The worker's side: which version a period is reported by, and that version as a program."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = lru_cache(_MOST_REMEMBERED)(_read)
        self._compiled = lru_cache(_MOST_REMEMBERED)(self._compile)

    def chosen(self, org_id: str, first_day: date, last_day: date) -> EffectiveMapping:
        """The version of the period's last day, sound and whole; this is asked before any row is read."""
        with self._database.transaction(org_id) as session:
            mapping = in_force_on(session, org_id, last_day)
            if mapping is None:
                raise _unavailable("This organisation has no column mapping that is in force at the period's end.")
            self._sound(mapping)
            changes = _changes(session, org_id, first_day, last_day)
            return EffectiveMapping(version=mapping.version, sha256=mapping.sha256, change_dates=tuple(changes))

    def document(self, org_id: str, version: int) -> MappingDocument:
        """A version that was chosen once."""
        return self._sound(self._version(org_id, version))

    def program(self, org_id: str, version: int, locale: Locale) -> MappingProgram:
        mapping = self._version(org_id, version)
        self._sound(mapping)
        return self._compiled(_text_of(mapping), locale)

    def _version(self, org_id: str, version: int) -> ColumnMappingVersion:
        with self._database.transaction(org_id) as session:
            mapping = session.get(ColumnMappingVersion, (org_id, version))
        if mapping is None:
            raise _unavailable("The column mapping of this export is not there any more.")
        return mapping

    def _sound(self, mapping: ColumnMappingVersion) -> MappingDocument:
        """The document as it was when it was added, and still one that compiles."""
        document, sha256 = self._read(_text_of(mapping))
        if sha256 != mapping.sha256:
            raise _unavailable("The column mapping of this organisation is not what it was when it was added.")
        return document

    def _compile(self, written: str, locale: Locale) -> MappingProgram:
        document, _ = self._read(written)
        try:
            return compile_mapping(document, locale)
        except InvalidMappingError as error:
            raise _unusable() from error


def _inserted(
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
        raise _changed_meanwhile()
    return added


def in_force_on(session: Session, org_id: str, day: date) -> ColumnMappingVersion | None:
    """The newest of the versions with the latest day that has come."""
    begun = select(ColumnMappingVersion).where(
        ColumnMappingVersion.org_id == org_id, ColumnMappingVersion.effective_from <= day
    )
    latest_first = begun.order_by(
        col(ColumnMappingVersion.effective_from).desc(), col(ColumnMappingVersion.version).desc()
    )
    return session.exec(latest_first.limit(1)).first()


def _changes(session: Session, org_id: str, first_day: date, last_day: date) -> Sequence[date]:
    day = col(ColumnMappingVersion.effective_from)
    within = select(day).where(ColumnMappingVersion.org_id == org_id, day > first_day, day <= last_day)
    return session.exec(within.distinct().order_by(day)).all()


def _read(written: str) -> tuple[MappingDocument, str]:
    """With its hash. It is remembered by every letter of it: whoever changes one, is read anew."""
    try:
        document = read_document(json.loads(written))
    except InvalidMappingError as error:
        raise _unusable() from error
    return document, document.sha256


def _text_of(mapping: ColumnMappingVersion) -> str:
    return json.dumps(mapping.document)


def _found(session: Session, mapping: ColumnMappingVersion | None, org_id: str) -> MappingFound:
    if mapping is None:
        raise NotFoundError("There is no such column mapping.")
    return MappingFound(mapping, _versions(session, org_id))


def _versions(session: Session, org_id: str) -> int:
    newest = select(func.max(ColumnMappingVersion.version)).where(ColumnMappingVersion.org_id == org_id)
    return session.exec(newest).one() or 0


def _readable_by(caller: Caller, org_id: str) -> str:
    if caller.is_operator:
        raise PermissionDeniedError("An operator sees jobs and states, not what is in them.")
    if caller.org_id != org_id:
        raise NotFoundError("There is no such organisation.")
    return org_id


def _changed_meanwhile() -> PreconditionFailedError:
    return PreconditionFailedError("The mapping has other versions than this edit is based on; read it again.")


def _unusable() -> ExportError:
    return _unavailable("The column mapping of this organisation cannot be used; it has to be mended.")


def _unavailable(message: str) -> ExportError:
    return ExportError(ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, message)
