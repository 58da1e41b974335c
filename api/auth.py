"""Who is asking: the token proves the user, the database says what they are."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
from pydantic import TypeAdapter
from sqlalchemy import bindparam
from sqlalchemy.orm import outerjoin
from sqlmodel import col, select

from api.keys import keys_of
from stafett.database.session import Database
from stafett.database.tables import Membership, User
from stafett.domain.errors import PermissionDeniedError, UnauthenticatedError
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller, Role
from stafett.settings import AuthSettings

_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]
_TIMES = frozenset({"exp", "nbf", "iat"})
_NO_TOKEN = (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_IS_A_MEMBER = (col(Membership.user_id) == User.id) & (col(Membership.org_id) == bindparam("org_id"))
_ROLE = (
    select(col(Membership.role), col(User.is_operator))
    .select_from(outerjoin(User, Membership, _IS_A_MEMBER))
    .where(col(User.id) == bindparam("user_id"))
)
_ORG_ID = TypeAdapter[str | None](OrgId | None)


class Identity(FrozenModel):
    """Who is asking, and for which organisation they are at work."""

    user_id: UUID
    org_id: OrgId | None


class Bearer(Identity):
    """What a valid token says, and until when, in seconds since 1970."""

    expires_at: float


class TokenVerifier:
    """Holds bearer tokens against the issuer's published keys."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._keys = keys_of(settings)

    def verify(self, token: str) -> Bearer:
        try:
            claims = self._claims(token)
            if not all(type(claims[name]) in {int, float} for name in _TIMES & claims.keys()):
                raise ValueError("a time is a number, whatever else could be read as one")
            org_id = _ORG_ID.validate_python(claims.get("org"))
            return Bearer(user_id=UUID(claims["sub"]), org_id=org_id, expires_at=claims["exp"])
        except _NO_TOKEN:
            raise UnauthenticatedError("A valid bearer token is needed.") from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        key_id: str = jwt.get_unverified_header(token)["kid"]
        return jwt.decode(
            token,
            self._keys.key(key_id),
            algorithms=list(self._settings.algorithms),
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=self._settings.leeway_seconds,
            options={"require": _REQUIRED},
        )


def identify(database: Database, identity: Identity) -> Caller:
    """The caller with the role they have now; somebody who has none may do nothing."""
    with database.transaction(identity.org_id, user_id=identity.user_id) as session:
        role, is_operator = session.execute(_ROLE, identity.model_dump()).one_or_none() or (None, False)
    if role is not None:
        return Caller(user_id=identity.user_id, org_id=identity.org_id, role=role)
    if is_operator:
        return Caller(user_id=identity.user_id, org_id=None, role=Role.OPERATOR)
    raise PermissionDeniedError("You are not a member of this organisation.")
