"""Organisations: operators add them, and each keeps at least one administrator."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from pydantic import ConfigDict, Field
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from stafett.audit.trail import AuditEntry, append_audit_event
from stafett.column_mapper.versions import add_standard_mapping
from stafett.database.session import Database
from stafett.database.tables import Delivery, Organisation
from stafett.domain.errors import AlreadyExistsError, NotFoundError, PermissionDeniedError
from stafett.domain.export import OrgId
from stafett.domain.fields import DisplayName
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller, Permission, Role
from stafett.people.members import Address, build_member_entry, insert_member

_SUBJECT_NAMESPACE = UUID("b6f2f1f6-0f0b-4d5a-9a4e-5b9f5f7e6a11")
_SELECT_ALL = select(Organisation).order_by(col(Organisation.id))


class NewOrganisation(FrozenModel):
    """An organisation to add, with the address of its first administrator."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "nhf", "name": "Norges Handikapforbund", "admin": "kari@nhf.example"}]}
    )

    id: OrgId = Field(description="Id of the organisation, which never changes.")
    name: DisplayName = Field(description="Name of the organisation.")
    admin: Address = Field(description="Email address of the first administrator, to which the invitation is sent.")


class AddedOrganisation(NamedTuple):
    """An organisation, and the email that invites its first administrator."""

    organisation: Organisation
    invitation: Delivery


class NewName(FrozenModel):
    """A new name for an organisation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Norges Handikapforbund"}]})

    name: DisplayName = Field(description="New name of the organisation.")


def list_organisations(database: Database) -> Sequence[Organisation]:
    """List all organisations, on a connection of the database's owner."""
    with database.transaction() as session:
        return session.exec(_SELECT_ALL).all()


class OrganisationService:
    """Lists, adds and renames organisations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller) -> Sequence[Organisation]:
        """List the organisations that the caller may see: their own, or all for an operator."""
        with self._database.caller_transaction(caller) as session:
            return session.exec(_SELECT_ALL).all()

    def require_visible(self, caller: Caller, org_id: str) -> None:
        """Raise unless the caller may know of the organisation."""
        if not caller.is_operator and caller.org_id != org_id:
            raise NotFoundError("There is no such organisation.")

    def add(self, actor: str, new: NewOrganisation) -> AddedOrganisation:
        """Add an organisation with the standard column mapping, and invite its first administrator."""
        with self._database.transaction(new.id) as session:
            row = insert(Organisation).values(id=new.id, name=new.name)
            organisation = session.scalars(row.on_conflict_do_nothing().returning(Organisation)).one_or_none()
            if organisation is None:
                raise AlreadyExistsError(f"There is already an organisation {new.id}.")
            mapping_entries = add_standard_mapping(session, new.id, actor)
            member, invitation = insert_member(session, new.id, new.admin, Role.ADMIN)
            append_audit_event(session, _build_entry(actor, new.id, "organisation_added"))
            for entry in mapping_entries:
                append_audit_event(session, entry)
            append_audit_event(session, build_member_entry(actor, member, "member_invited"))
        return AddedOrganisation(organisation, invitation)

    def authorise_rename(self, caller: Caller, org_id: str) -> None:
        self.require_visible(caller, org_id)
        if not caller.has_permission(Permission.RENAME_ORGANISATIONS):
            raise PermissionDeniedError("Only an operator or an administrator may rename an organisation.")

    def rename(self, actor: str, org_id: str, name: str) -> Organisation:
        with self._database.transaction(org_id) as session:
            organisation = session.get(Organisation, org_id, with_for_update={"key_share": True})
            if organisation is None:
                raise NotFoundError("There is no such organisation.")
            if organisation.name != name:  # a repeated request changes nothing
                organisation.name = name
                session.add(organisation)
                session.flush()
                append_audit_event(session, _build_entry(actor, org_id, "organisation_renamed"))
        return organisation


def _build_entry(actor: str, org_id: str, event: str) -> AuditEntry:
    subject_id = uuid5(_SUBJECT_NAMESPACE, org_id)
    return AuditEntry(org_id=org_id, actor=actor, event=event, subject_kind="organisation", subject_id=subject_id)
