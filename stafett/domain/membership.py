"""Who may do what: the only place that knows the roles."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from stafett.domain.export import OrgId
from stafett.domain.frozen import Frozen


class Role(StrEnum):
    """What somebody is to an organisation; an operator is that to the service, and to no organisation."""

    COORDINATOR = "coordinator"
    ADMIN = "admin"
    AUDITOR = "auditor"
    OPERATOR = "operator"


class May(StrEnum):
    """What a role can allow; whose things somebody may do it to is asked besides."""

    SEE_JOBS = "see jobs and their states"
    READ = "read what belongs to the organisation"
    START = "start, preview and register"
    DOWNLOAD = "have files"
    STEER = "cancel and try again"
    READ_TRAIL = "read audit events"
    CONFIGURE = "delete and configure"
    READ_PAYLOADS = "read what runs tell the engine"
    BE_TOLD = "read one's own notifications"


_EVERYBODY = frozenset({May.SEE_JOBS, May.BE_TOLD})
_MEMBER = _EVERYBODY | {May.READ, May.READ_TRAIL}
_COORDINATOR = _MEMBER | {May.START, May.DOWNLOAD, May.STEER}
ALLOWED: Mapping[Role, frozenset[May]] = {
    Role.COORDINATOR: _COORDINATOR,
    Role.ADMIN: _COORDINATOR | {May.CONFIGURE},
    Role.AUDITOR: _MEMBER,
    Role.OPERATOR: _EVERYBODY | {May.STEER, May.READ_PAYLOADS},
}


class Caller(Frozen):
    """A verified user at work for one organisation, in the role that the database gives, whatever a token claims."""

    user_id: UUID
    org_id: OrgId | None
    role: Role

    def may(self, what: May) -> bool:
        return what in ALLOWED[self.role]

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR

    def may_start_in(self, org_id: str) -> bool:
        return org_id == self.org_id and self.may(May.START)

    def may_download_from(self, org_id: str) -> bool:
        return org_id == self.org_id and self.may(May.DOWNLOAD)

    def may_steer(self, org_id: str, requested_by: UUID) -> bool:
        """Cancel it and try it again: an operator any job, an admin the organisation's, a coordinator their own."""
        is_theirs = org_id == self.org_id and (self.role is not Role.COORDINATOR or requested_by == self.user_id)
        return self.may(May.STEER) and (is_theirs or self.is_operator)

    def may_read_audit_of(self, org_id: str, requested_by: UUID) -> bool:
        """Of a job: who answers for the organisation, who audits it, and a coordinator of what they asked for."""
        is_theirs = self.role is not Role.COORDINATOR or requested_by == self.user_id
        return org_id == self.org_id and self.may(May.READ_TRAIL) and is_theirs

    def may_configure(self, org_id: str) -> bool:
        return org_id == self.org_id and self.may(May.CONFIGURE)
