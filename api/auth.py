"""Authentication: the bearer token identifies the user, the database supplies their role."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
from pydantic import TypeAdapter
from sqlalchemy import bindparam
from sqlalchemy.orm import outerjoin
from sqlmodel import col, select

from api.keys import create_key_source
from stafett.database.session import Database
from stafett.database.tables import Membership, User
from stafett.domain.errors import PermissionDeniedError, UnauthenticatedError
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller, Role
from stafett.settings import AuthSettings

UNAUTHENTICATED_MESSAGE = "Missing or invalid bearer token."
_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]
_TIME_CLAIMS = frozenset({"exp", "nbf", "iat"})
_INVALID_TOKEN_ERRORS = (
    jwt.PyJWTError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
_MEMBERSHIP_JOIN = (col(Membership.user_id) == User.id) & (col(Membership.org_id) == bindparam("org_id"))
_SELECT_ROLE = (
    select(col(Membership.role), col(User.is_operator))
    .select_from(outerjoin(User, Membership, _MEMBERSHIP_JOIN))
    .where(col(User.id) == bindparam("user_id"))
)
_ORG_ID_ADAPTER = TypeAdapter[str | None](OrgId | None)


class Identity(FrozenModel):
    """The user and organisation that a token names."""

    user_id: UUID
    org_id: OrgId | None


class VerifiedToken(Identity):
    """The identity of a valid token, and its expiry in seconds since 1970."""

    expires_at: float


class TokenVerifier:
    """Verifies bearer tokens with the issuer's published keys."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._key_source = create_key_source(settings)

    def verify(self, token: str) -> VerifiedToken:
        try:
            claims = self._decode_claims(token)
            if not all(type(claims[name]) in {int, float} for name in _TIME_CLAIMS & claims.keys()):
                raise ValueError("a time claim must be a number")  # PyJWT would accept numeric strings
            org_id = _ORG_ID_ADAPTER.validate_python(claims.get("org"))
            return VerifiedToken(user_id=UUID(claims["sub"]), org_id=org_id, expires_at=claims["exp"])
        except _INVALID_TOKEN_ERRORS:
            raise UnauthenticatedError(UNAUTHENTICATED_MESSAGE) from None

    def _decode_claims(self, token: str) -> Mapping[str, Any]:
        key_id: str = jwt.get_unverified_header(token)["kid"]
        return jwt.decode(
            token,
            self._key_source.get_key(key_id),
            algorithms=list(self._settings.algorithms),
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=self._settings.leeway_seconds,
            options={"require": _REQUIRED_CLAIMS},
        )


def load_caller(database: Database, identity: Identity) -> Caller:
    """Load the caller with their current role; a user without a role is denied."""
    with database.transaction(identity.org_id, user_id=identity.user_id) as session:
        role, is_operator = session.execute(_SELECT_ROLE, identity.model_dump()).one_or_none() or (None, False)
    if role is not None:
        return Caller(user_id=identity.user_id, org_id=identity.org_id, role=role)
    if is_operator:
        return Caller(user_id=identity.user_id, org_id=None, role=Role.OPERATOR)
    raise PermissionDeniedError("You are not a member of this organisation.")
