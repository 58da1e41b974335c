"""Who may manage an organisation's people."""

from stafett.domain.errors import NotFoundError, PermissionDeniedError
from stafett.domain.membership import Caller


def require_administrator(caller: Caller, org_id: str) -> None:
    """Raise unless the caller administers the organisation, whose existence no other organisation learns."""
    if not caller.is_operator and caller.org_id != org_id:
        raise NotFoundError("There is no such organisation.")
    if not caller.can_administer(org_id):
        raise PermissionDeniedError("Only an administrator of the organisation may do this.")
