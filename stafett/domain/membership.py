"""Who may do what: the only place that knows the roles."""

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


class Caller(Frozen):
    """A verified user at work for one organisation, in the role that the database gives, whatever a token claims."""

    user_id: UUID
    org_id: OrgId | None
    role: Role

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR

    def may_start_in(self, org_id: str) -> bool:
        return org_id == self.org_id and self.role in {Role.COORDINATOR, Role.ADMIN}

    def may_download_from(self, org_id: str) -> bool:
        return self.may_start_in(org_id)

    def may_steer(self, org_id: str, requested_by: UUID) -> bool:
        """Cancel it and try it again."""
        if self.is_operator:
            return True
        is_own = self.role is Role.COORDINATOR and requested_by == self.user_id
        return org_id == self.org_id and (is_own or self.role is Role.ADMIN)

    def may_read_audit_of(self, org_id: str, requested_by: UUID) -> bool:
        """Of a job: who answers for the organisation, who audits it, and a coordinator of what they asked for."""
        if org_id != self.org_id:
            return False
        is_own_job = self.role is Role.COORDINATOR and requested_by == self.user_id
        return is_own_job or self.role in {Role.ADMIN, Role.AUDITOR}

    @property
    def may_read_payloads(self) -> bool:
        """Of any organisation's runs: they hold ids, codes and counts."""
        return self.is_operator

    def may_configure(self, org_id: str) -> bool:
        return org_id == self.org_id and self.role is Role.ADMIN
