"""Roles, their permissions, and the authenticated caller."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator

from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel


class Role(StrEnum):
    """Role of a user in an organisation. An operator operates the service and belongs to no organisation."""

    COORDINATOR = "coordinator"
    ADMIN = "admin"
    AUDITOR = "auditor"
    OPERATOR = "operator"

    def includes(self, role: "Role") -> bool:
        """Return whether a user with this role may give the other one to an API key."""
        return role is self or (self is Role.ADMIN and role is not Role.OPERATOR)


def _require_member_role(value: object) -> object:
    """Reject any other value with a message for users: Pydantic's has the representations of Python."""
    if value not in (Role.COORDINATOR, Role.ADMIN, Role.AUDITOR):
        raise ValueError("Expected coordinator, admin or auditor")
    return value


MemberRole = Annotated[Literal[Role.COORDINATOR, Role.ADMIN, Role.AUDITOR], BeforeValidator(_require_member_role)]
"""A role that a member of an organisation can have."""


class Permission(StrEnum):
    """Permissions of a role. Ownership is checked separately."""

    VIEW_JOBS = "view_jobs"
    READ_ORGANISATION = "read_organisation"
    START_JOBS = "start_jobs"
    DOWNLOAD_FILES = "download_files"
    CANCEL_AND_RETRY = "cancel_and_retry"
    READ_AUDIT_EVENTS = "read_audit_events"
    READ_AUDIT_TRAIL = "read_audit_trail"
    ADMINISTER = "administer"
    DECODE_PAYLOADS = "decode_payloads"
    READ_NOTIFICATIONS = "read_notifications"
    MANAGE_MENTORS = "manage_mentors"
    CORRECT_ACTIVITIES = "correct_activities"
    ADD_ORGANISATIONS = "add_organisations"
    RENAME_ORGANISATIONS = "rename_organisations"


_ANY_ROLE = frozenset({Permission.VIEW_JOBS, Permission.READ_NOTIFICATIONS})
_MEMBER = _ANY_ROLE | {Permission.READ_ORGANISATION, Permission.READ_AUDIT_EVENTS}
_COORDINATOR = _MEMBER | {
    Permission.START_JOBS,
    Permission.DOWNLOAD_FILES,
    Permission.CANCEL_AND_RETRY,
    Permission.MANAGE_MENTORS,
    Permission.CORRECT_ACTIVITIES,
}
PERMISSIONS_BY_ROLE: Mapping[Role, frozenset[Permission]] = {
    Role.COORDINATOR: _COORDINATOR,
    Role.ADMIN: _COORDINATOR | {Permission.READ_AUDIT_TRAIL, Permission.ADMINISTER, Permission.RENAME_ORGANISATIONS},
    Role.AUDITOR: _MEMBER | {Permission.READ_AUDIT_TRAIL},
    Role.OPERATOR: _ANY_ROLE
    | {
        Permission.CANCEL_AND_RETRY,
        Permission.DECODE_PAYLOADS,
        Permission.ADD_ORGANISATIONS,
        Permission.RENAME_ORGANISATIONS,
    },
}


def format_actor(user_id: UUID, api_key_id: UUID | None = None) -> str:
    """Format a user, or the API key that acts for the user, as the actor of an audit event."""
    return f"user:{user_id}" if api_key_id is None else f"api_key:{api_key_id}"


class Caller(FrozenModel):
    """An authenticated user acting for an organisation. The role is the database's, whatever the token claims.

    An API key acts for the user who made it, with its own role.
    """

    user_id: UUID
    org_id: OrgId | None
    role: Role
    api_key_id: UUID | None = None

    @property
    def actor(self) -> str:
        """The user or the API key, as audit events name it."""
        return format_actor(self.user_id, self.api_key_id)

    def has_permission(self, permission: Permission) -> bool:
        return permission in PERMISSIONS_BY_ROLE[self.role]

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR

    def can_start_in(self, org_id: str) -> bool:
        return org_id == self.org_id and self.has_permission(Permission.START_JOBS)

    def can_download_from(self, org_id: str) -> bool:
        return org_id == self.org_id and self.has_permission(Permission.DOWNLOAD_FILES)

    def can_cancel_and_retry(self, org_id: str, requested_by: UUID) -> bool:
        """Return whether the caller may cancel and retry this user's jobs.

        Operators may for every job, admins for jobs of their organisation, coordinators for their own.
        """
        is_theirs = org_id == self.org_id and (self.role is not Role.COORDINATOR or requested_by == self.user_id)
        return self.has_permission(Permission.CANCEL_AND_RETRY) and (is_theirs or self.is_operator)

    def can_edit(self, org_id: str, requested_by: UUID) -> bool:
        """Return whether the caller may change the texts of this user's jobs. Operators only cancel and retry."""
        return org_id == self.org_id and self.can_cancel_and_retry(org_id, requested_by)

    def can_read_audit_of(self, org_id: str, requested_by: UUID) -> bool:
        """Return whether the caller may read the audit events of this user's jobs.

        Admins and auditors may for every job of their organisation, coordinators for their own.
        """
        is_theirs = self.role is not Role.COORDINATOR or requested_by == self.user_id
        return org_id == self.org_id and self.has_permission(Permission.READ_AUDIT_EVENTS) and is_theirs

    def can_read_audit_trail_of(self, org_id: str) -> bool:
        """Return whether the caller may read all audit events of the organisation: admins and auditors may."""
        return org_id == self.org_id and self.has_permission(Permission.READ_AUDIT_TRAIL)

    def can_manage_mentors_of(self, org_id: str) -> bool:
        return org_id == self.org_id and self.has_permission(Permission.MANAGE_MENTORS)

    def can_correct_activities_of(self, org_id: str) -> bool:
        return org_id == self.org_id and self.has_permission(Permission.CORRECT_ACTIVITIES)

    def can_administer(self, org_id: str) -> bool:
        return org_id == self.org_id and self.has_permission(Permission.ADMINISTER)
