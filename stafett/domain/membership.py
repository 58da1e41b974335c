"""Roles, their permissions, and the authenticated caller."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel


class Role(StrEnum):
    """Role of a user in an organisation. An operator operates the service and belongs to no organisation."""

    COORDINATOR = "coordinator"
    ADMIN = "admin"
    AUDITOR = "auditor"
    OPERATOR = "operator"


class Permission(StrEnum):
    """Permissions of a role. Ownership is checked separately."""

    VIEW_JOBS = "view_jobs"
    READ_ORGANISATION = "read_organisation"
    START_JOBS = "start_jobs"
    DOWNLOAD_FILES = "download_files"
    CANCEL_AND_RETRY = "cancel_and_retry"
    READ_AUDIT_EVENTS = "read_audit_events"
    ADMINISTER = "administer"
    DECODE_PAYLOADS = "decode_payloads"
    READ_NOTIFICATIONS = "read_notifications"


_ANY_ROLE = frozenset({Permission.VIEW_JOBS, Permission.READ_NOTIFICATIONS})
_MEMBER = _ANY_ROLE | {Permission.READ_ORGANISATION, Permission.READ_AUDIT_EVENTS}
_COORDINATOR = _MEMBER | {Permission.START_JOBS, Permission.DOWNLOAD_FILES, Permission.CANCEL_AND_RETRY}
PERMISSIONS_BY_ROLE: Mapping[Role, frozenset[Permission]] = {
    Role.COORDINATOR: _COORDINATOR,
    Role.ADMIN: _COORDINATOR | {Permission.ADMINISTER},
    Role.AUDITOR: _MEMBER,
    Role.OPERATOR: _ANY_ROLE | {Permission.CANCEL_AND_RETRY, Permission.DECODE_PAYLOADS},
}


class Caller(FrozenModel):
    """An authenticated user acting for an organisation. The role is the database's, whatever the token claims."""

    user_id: UUID
    org_id: OrgId | None
    role: Role

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

    def can_administer(self, org_id: str) -> bool:
        return org_id == self.org_id and self.has_permission(Permission.ADMINISTER)
