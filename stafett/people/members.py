"""Members of an organisation: invited by address, with a role, until an administrator removes them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, LiteralString, NamedTuple
from uuid import UUID, uuid4

from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett.audit.trail import AuditEntry, append_audit_event
from stafett.database.pagination import NEWEST_FIRST, ListFilter, Page, load_page, select_visible
from stafett.database.session import Database
from stafett.database.tables import Delivery, Membership, Organisation, User, UserIdentity
from stafett.domain.errors import AlreadyExistsError, LastAdminError, NotFoundError
from stafett.domain.fields import DisplayName
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller, MemberRole, Role
from stafett.domain.notification import Channel
from stafett.people.access import authorise_addition, lock_administrator, require_administrator
from stafett.people.api_keys import append_revocations, revoke_keys_of_user

_NEWEST_FIRST = NEWEST_FIRST._replace(names=("created_at", "user_id"))
_ENSURE_USER: LiteralString = "SELECT ensure_user(:id, :address, :display_name)"
_ATOM, _LABEL = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+", "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_ADDRESS_PATTERN = rf"^{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+{_LABEL}$"
Address = Annotated[str, StringConstraints(max_length=254, pattern=_ADDRESS_PATTERN)]
"""An email address as HTML's `input` accepts it, without empty parts.

It has one recipient, and its lower case is the same everywhere.
"""


class NewMember(FrozenModel):
    """A member to invite. The name is used only if the address is new."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": "kari@nhf.example", "role": "coordinator"}]})

    address: Address = Field(description="Email address, to which the invitation is sent.")
    role: MemberRole = Field(description="Role of the member.")
    display_name: DisplayName | None = Field(None, description="Name of the member. The default is the address.")


class MemberDetails(NamedTuple):
    """A membership with its user, and whether the user has ever signed in."""

    membership: Membership
    user: User
    has_signed_in: bool


class InvitedMember(NamedTuple):
    """A new member, and the email that invites them."""

    member: MemberDetails
    invitation: Delivery


class MemberService:
    """The administrators' access to the ``memberships`` table. Each change is one transaction with its audit event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, org_id: str, filters: ListFilter) -> Page[MemberDetails]:
        """List members, newest first."""
        require_administrator(caller, org_id)
        query = select_visible(Membership, caller, filters)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            memberships, token = load_page(session, Membership, query, filters, _NEWEST_FIRST)
            return Page(_load_details(session, memberships), token)

    def find(self, caller: Caller, org_id: str, user_id: UUID) -> MemberDetails:
        require_administrator(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            return _get_or_404(session, org_id, user_id)

    def invite(self, caller: Caller, org_id: str, new: NewMember) -> InvitedMember:
        """Add a member and enqueue the invitation. The membership takes effect at the user's first sign-in."""
        authorise_addition(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            lock_administrator(session, caller, org_id)
            return _insert_and_audit(session, caller.actor, org_id, new)

    def invite_admin(self, actor: str, org_id: str, address: Address) -> InvitedMember:
        """Invite an administrator as the owner of the database, for an organisation that lost its own."""
        with self._database.transaction(org_id) as session:
            if session.get(Organisation, org_id) is None:
                raise NotFoundError("There is no such organisation.")
            return _insert_and_audit(session, actor, org_id, NewMember(address=address, role=Role.ADMIN))

    def change_role(self, caller: Caller, org_id: str, user_id: UUID, role: MemberRole) -> MemberDetails:
        """Change a member's role, and revoke the API keys whose role the new one does not include."""
        with self._lock_member(caller, org_id, user_id) as (session, member):
            if member.membership.role is role:
                return member
            if role is not Role.ADMIN:
                _require_other_admin(session, member.membership)
            member.membership.role = role
            session.add(member.membership)
            revoked = revoke_keys_of_user(session, org_id, user_id, unless_included_in=role)
            append_audit_event(session, build_member_entry(caller.actor, member, "member_role_changed"))
            append_revocations(session, org_id, caller.actor, revoked)
            return member

    def remove(self, caller: Caller, org_id: str, user_id: UUID) -> None:
        """Remove a member with their API keys. Jobs and other objects that they made stay."""
        with self._lock_member(caller, org_id, user_id) as (session, member):
            _require_other_admin(session, member.membership)
            session.delete(member.membership)
            revoked = revoke_keys_of_user(session, org_id, user_id)
            append_audit_event(session, build_member_entry(caller.actor, member, "member_removed"))
            append_revocations(session, org_id, caller.actor, revoked)

    @contextmanager
    def _lock_member(self, caller: Caller, org_id: str, user_id: UUID) -> Iterator[tuple[Session, MemberDetails]]:
        """Lock the organisation's memberships against concurrent changes, and load one of them."""
        require_administrator(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            lock = select(Organisation.id).where(Organisation.id == org_id)
            session.exec(lock.with_for_update(key_share=True)).one()
            lock_administrator(session, caller, org_id)
            yield session, _get_or_404(session, org_id, user_id)


def ensure_user(session: Session, address: str, display_name: str | None = None) -> UUID:
    """Return the user with an address, who is inserted if there is none."""
    values = {"id": uuid4(), "address": address, "display_name": display_name or address}
    user_id: UUID = session.scalars(text(_ENSURE_USER), values).one()
    return user_id


def insert_member(
    session: Session, org_id: str, address: str, role: Role, display_name: str | None = None
) -> InvitedMember:
    """Insert a membership, its user if the address is new, and the email that invites the user."""
    user_id = ensure_user(session, address, display_name)
    row = insert(Membership).values(user_id=user_id, org_id=org_id, role=role)
    membership = session.scalars(row.on_conflict_do_nothing().returning(Membership)).one_or_none()
    if membership is None:
        raise AlreadyExistsError("The address belongs to a member of the organisation.")
    delivery = insert(Delivery).values(id=uuid4(), org_id=org_id, invited_user_id=user_id, channel=Channel.EMAIL)
    invitation = session.scalars(delivery.returning(Delivery)).one()
    return InvitedMember(_load_details(session, [membership])[0], invitation)


def _insert_and_audit(session: Session, actor: str, org_id: str, new: NewMember) -> InvitedMember:
    invited = insert_member(session, org_id, new.address, new.role, new.display_name)
    append_audit_event(session, build_member_entry(actor, invited.member, "member_invited"))
    return invited


def build_member_entry(actor: str, member: MemberDetails, event: str) -> AuditEntry:
    """Build an audit entry with the opaque id, never with the address or the name."""
    return AuditEntry(
        org_id=member.membership.org_id,
        actor=actor,
        event=event,
        subject_kind="member",
        subject_id=member.membership.user_id,
        detail={"role": member.membership.role.value},
    )


def _get_or_404(session: Session, org_id: str, user_id: UUID) -> MemberDetails:
    membership = session.get(Membership, (user_id, org_id))
    if membership is None:
        raise NotFoundError("There is no such member.")
    return _load_details(session, [membership])[0]


def _load_details(session: Session, memberships: Sequence[Membership]) -> Sequence[MemberDetails]:
    """Load the users of all memberships. That of a membership removed meanwhile is no longer visible."""
    ids = [membership.user_id for membership in memberships]
    users = {user.id: user for user in session.exec(select(User).where(col(User.id).in_(ids)))}
    signed_in = set(session.exec(select(UserIdentity.user_id).where(col(UserIdentity.user_id).in_(ids))))
    return [
        MemberDetails(membership, users[membership.user_id], membership.user_id in signed_in)
        for membership in memberships
        if membership.user_id in users
    ]


def _require_other_admin(session: Session, membership: Membership) -> None:
    if membership.role is not Role.ADMIN:
        return
    others = select(Membership.user_id).where(
        Membership.org_id == membership.org_id,
        Membership.role == Role.ADMIN,
        Membership.user_id != membership.user_id,
    )
    if session.exec(others.limit(1)).first() is None:
        raise LastAdminError("The organisation's last administrator can be neither removed nor demoted.")
