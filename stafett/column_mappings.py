"""Mapping documents in PostgreSQL: versions are added by admins, chosen by day, and never changed."""

from collections.abc import Container, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import func, insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from stafett import export_audit
from stafett.column_mapper import InvalidMappingError, MappingDocument, MappingProgram, compile_mapping, read_document
from stafett.database.session import Database
from stafett.database.tables import ColumnMapping
from stafett.domain.errors import (
    ExportError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
)
from stafett.domain.export import Locale
from stafett.domain.export_outputs import ChosenMapping
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller
from stafett.export_audit import AuditEntry


class MappingFound(NamedTuple):
    """A version, and how many there are: the number that an edit has to have seen."""

    mapping: ColumnMapping
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
            return _found(session, session.get(ColumnMapping, (org_id, version)), org_id)

    def add(self, caller: Caller, org_id: str, document: MappingDocument, seen: Container[int] | None) -> AddedMapping:
        """Add a version on top of those the caller has seen."""
        _readable_by(caller, org_id)
        if not caller.may_configure(org_id):
            raise PermissionDeniedError("Only an administrator changes the column mapping.")
        try:
            with self._database.transaction(org_id, user_id=caller.user_id) as session:
                return self._added(session, caller, document, seen)
        except IntegrityError:  # of two at once, one was first
            raise _changed_meanwhile() from None

    def _added(
        self, session: Session, caller: Caller, document: MappingDocument, seen: Container[int] | None
    ) -> AddedMapping:
        org_id = caller.org_id or ""
        versions = _versions(session, org_id)
        if versions and seen is None:
            raise PreconditionRequiredError("Say with If-Match which state of the mapping this edit is based on.")
        if seen is not None and versions not in seen:
            raise _changed_meanwhile()
        newest = session.get(ColumnMapping, (org_id, versions))
        if newest is not None and newest.sha256 == document.sha256:
            return AddedMapping(MappingFound(newest, versions), is_new=False)
        added = insert_version(session, org_id, versions + 1, document, caller.user_id)
        detail: export_audit.Detail = {"version": added.version, "sha256": added.sha256}
        export_audit.append(
            session,
            AuditEntry(
                org_id=org_id,
                actor=export_audit.user(caller.user_id),
                event="column_mapping_added",
                subject_kind="column_mapping",
                subject_id=added.id,
                detail=detail | {"effective_from": added.effective_from.isoformat()},
            ),
        )
        return AddedMapping(MappingFound(added, added.version), is_new=True)


class MappingsInUse:
    """The worker's side: which version a period is reported by, and that version as a program."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def chosen(self, org_id: str, first_day: date, last_day: date) -> ChosenMapping:
        """The version of the period's last day, sound and whole; this is asked before any row is read."""
        with self._database.transaction(org_id) as session:
            mapping = in_force_on(session, org_id, last_day)
            if mapping is None:
                raise _unavailable("This organisation has no column mapping that is in force at the period's end.")
            _sound(mapping)
            changes = _changes(session, org_id, first_day, last_day)
            return ChosenMapping(version=mapping.version, sha256=mapping.sha256, changes=tuple(changes))

    def program(self, org_id: str, version: int, locale: Locale) -> tuple[MappingDocument, MappingProgram]:
        with self._database.transaction(org_id) as session:
            mapping = session.get(ColumnMapping, (org_id, version))
        if mapping is None:
            raise _unavailable("The column mapping of this export is not there any more.")
        document = _sound(mapping)
        return document, compile_mapping(document, locale)


def insert_version(
    session: Session, org_id: str, version: int, document: MappingDocument, created_by: UUID | None
) -> ColumnMapping:
    row = insert(ColumnMapping).values(
        org_id=org_id,
        version=version,
        id=uuid4(),
        effective_from=document.effective_from,
        sha256=document.sha256,
        document=document.as_json(),
        created_by=created_by,
    )
    return session.scalars(row.returning(ColumnMapping)).one()


def in_force_on(session: Session, org_id: str, day: date) -> ColumnMapping | None:
    """The newest of the versions with the latest day that has come."""
    begun = select(ColumnMapping).where(ColumnMapping.org_id == org_id, ColumnMapping.effective_from <= day)
    latest_first = begun.order_by(col(ColumnMapping.effective_from).desc(), col(ColumnMapping.version).desc())
    return session.exec(latest_first.limit(1)).first()


def _changes(session: Session, org_id: str, first_day: date, last_day: date) -> Sequence[date]:
    day = col(ColumnMapping.effective_from)
    within = select(day).where(ColumnMapping.org_id == org_id, day > first_day, day <= last_day)
    return session.exec(within.distinct().order_by(day)).all()


def _sound(mapping: ColumnMapping) -> MappingDocument:
    """The document as it was when it was added, and still one that compiles."""
    try:
        document = read_document(mapping.document)
    except InvalidMappingError as error:
        raise _unavailable("The column mapping of this organisation cannot be used; it has to be mended.") from error
    if document.sha256 != mapping.sha256:
        raise _unavailable("The column mapping of this organisation is not what it was when it was added.")
    return document


def _found(session: Session, mapping: ColumnMapping | None, org_id: str) -> MappingFound:
    if mapping is None:
        raise NotFoundError("There is no such column mapping.")
    return MappingFound(mapping, _versions(session, org_id))


def _versions(session: Session, org_id: str) -> int:
    newest = select(func.max(ColumnMapping.version)).where(ColumnMapping.org_id == org_id)
    return session.exec(newest).one() or 0


def _readable_by(caller: Caller, org_id: str) -> str:
    if caller.is_operator:
        raise PermissionDeniedError("An operator sees jobs and states, not what is in them.")
    if caller.org_id != org_id:
        raise NotFoundError("There is no such organisation.")
    return org_id


def _changed_meanwhile() -> PreconditionFailedError:
    return PreconditionFailedError("The mapping has other versions than this edit is based on; read it again.")


def _unavailable(message: str) -> ExportError:
    return ExportError(ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, message)
