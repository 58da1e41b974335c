"""Who may manage an organisation's people."""

from sqlmodel import Session

from stafett.database.tables import Membership
from stafett.domain.errors import NotFoundError, PermissionDeniedError
from stafett.domain.membership import Caller, Role

_DENIED_MESSAGE = "Only an administrator of the organisation may do this."


def require_administrator(caller: Caller, org_id: str) -> None:
    """Raise unless the caller administers the organisation, whose existence no other organisation learns."""
    if not caller.is_operator and caller.org_id != org_id:
        raise NotFoundError("There is no such organisation.")
    authorise_addition(caller, org_id)


def authorise_addition(caller: Caller, org_id: str) -> None:
    """Raise unless the caller administers the organisation; the same for one that exists and one that does not.

    A request that adds something to another organisation is denied, as if it named the organisation in its body.
    """
    if not caller.can_administer(org_id):
        raise PermissionDeniedError(_DENIED_MESSAGE)


def lock_administrator(session: Session, caller: Caller, org_id: str) -> None:
    """Raise if the caller was removed or demoted since the request started; neither can happen before the commit."""
    membership = session.get(Membership, (caller.user_id, org_id), with_for_update={"read": True})
    if membership is None or membership.role is not Role.ADMIN:
        raise PermissionDeniedError(_DENIED_MESSAGE)
