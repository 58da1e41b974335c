"""Who is asking: the token proves the user, the database says what they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import jwt
import structlog
from pydantic import TypeAdapter

from stafett.database.session import Database
from stafett.database.tables import Membership, User
from stafett.domain.errors import PermissionDeniedError, ServiceAwayError, SettingsError, UnauthenticatedError
from stafett.domain.export import OrgId
from stafett.domain.frozen import Frozen
from stafett.domain.membership import Caller, Role
from stafett.settings import AuthSettings

_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]
_log = structlog.get_logger("stafett.api")
_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, RecursionError, jwt.PyJWTError)
_NO_TOKEN = (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_ORG_ID = TypeAdapter[str | None](OrgId | None)


class Identity(Frozen):
    """Who is asking, and for which organisation they are at work."""

    user_id: UUID
    org_id: OrgId | None


class Bearer(Identity):
    """What a valid token says, and until when, in seconds since 1970."""

    expires_at: float


class Keys(Protocol):
    """The issuer's keys, by the id that a token names."""

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK: ...


class KeyFile:
    """Keys that somebody put beside us.

    The file is read anew for a key that is not known yet: a new key works at once, and one that was taken out ceases
    to be good with the first token of a key we have not seen. A file that cannot be read changes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = _read(path)

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
        key_id: str = jwt.get_unverified_header(token)["kid"]
        if key_id not in self._keys:
            self._read_anew()
        return self._keys[key_id]

    def _read_anew(self) -> None:
        try:
            self._keys = _read(self._path)
        except _UNREADABLE as error:
            _log.warning("keys_unreadable", error=type(error).__name__)


def _read(path: Path) -> Mapping[str, jwt.PyJWK]:
    keys = jwt.PyJWKSet.from_json(path.read_text()).keys
    return {key.key_id: key for key in keys if key.key_id and key.public_key_use in {"sig", None}}


def keys_of(settings: AuthSettings) -> Keys:
    if settings.jwks_file is not None:
        try:
            return KeyFile(settings.jwks_file)
        except _UNREADABLE:
            raise SettingsError("STAFETT_AUTH__JWKS_FILE does not name a readable JSON Web Key Set.") from None
    if settings.jwks_url is not None:
        return jwt.PyJWKClient(str(settings.jwks_url), timeout=5)
    raise SettingsError("Neither STAFETT_AUTH__JWKS_URL nor STAFETT_AUTH__JWKS_FILE is set: no token could be checked.")


class TokenVerifier:
    """Holds bearer tokens against the issuer's published keys."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._keys = keys_of(settings)

    def verify(self, token: str) -> Bearer:
        try:
            claims = self._claims(token)
            org_id = _ORG_ID.validate_python(claims.get("org"))
            return Bearer(user_id=UUID(claims["sub"]), org_id=org_id, expires_at=claims["exp"])
        except (jwt.PyJWKClientConnectionError, OSError) as error:
            raise ServiceAwayError("The identity provider") from error
        except _NO_TOKEN:
            raise UnauthenticatedError("A valid bearer token is needed.") from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        return jwt.decode(
            token,
            self._keys.get_signing_key_from_jwt(token),
            algorithms=list(self._settings.algorithms),
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=self._settings.leeway_seconds,
            options={"require": _REQUIRED},
        )


def identify(database: Database, identity: Identity) -> Caller:
    """The caller with the role they have now; somebody who has none may do nothing."""
    with database.transaction(identity.org_id, user_id=identity.user_id) as session:
        known = session.get(User, identity.user_id)
        member = session.get(Membership, (identity.user_id, identity.org_id)) if identity.org_id else None
    if member is not None:
        return Caller(user_id=identity.user_id, org_id=identity.org_id, role=member.role)
    if known is not None and known.is_operator:
        return Caller(user_id=identity.user_id, org_id=None, role=Role.OPERATOR)
    raise PermissionDeniedError("You are not a member of this organisation.")
