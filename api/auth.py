"""Verification of bearer tokens and API keys, which identify the user; the database supplies the role."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import jwt
from pydantic import TypeAdapter, ValidationError

from api.keys import create_key_source
from stafett.database.session import Database
from stafett.domain.errors import PermissionDeniedError, UnauthenticatedError
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.people.api_keys import find_api_key, is_api_key
from stafett.people.identities import resolve_user
from stafett.settings import AuthSettings

NO_CREDENTIALS_MESSAGE = (
    "The request has no Authorization header: send 'Authorization: Bearer' with a token or an API key."
)
OTHER_SCHEME_MESSAGE = "The Authorization header is not 'Bearer', followed by a token or an API key."
UNKNOWN_KEY_MESSAGE = "The API key is unknown or has been revoked; an administrator can make a new one."
_EXPIRED_KEY_MESSAGE = "The API key has expired; an administrator can make a new one."
_EXPIRED_MESSAGE = "The bearer token has expired; get a new one."
_INVALID_CLAIM_MESSAGE = "The bearer token has a claim with an invalid value: a time, sub or org."
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
_FAULTS: Sequence[tuple[type[Exception], str]] = (
    (jwt.ExpiredSignatureError, _EXPIRED_MESSAGE),
    (jwt.MissingRequiredClaimError, f"The bearer token lacks one of the claims {', '.join(_REQUIRED_CLAIMS)}."),
    (jwt.InvalidIssuerError, "The bearer token is of an issuer that this API does not accept (iss)."),
    (jwt.InvalidAudienceError, "The bearer token is for another service (aud)."),
    (jwt.ImmatureSignatureError, "The bearer token is not valid yet (nbf, iat); check the clocks."),
    (jwt.InvalidSignatureError, "The bearer token's signature is not valid."),
    (jwt.InvalidAlgorithmError, "The bearer token is signed with an algorithm that this API does not accept."),
    (LookupError, "The bearer token names no signing key that the issuer publishes (kid)."),
    (jwt.DecodeError, "The bearer token is neither a JSON Web Token nor an API key."),
    (ValidationError, _INVALID_CLAIM_MESSAGE),
    (jwt.InvalidTokenError, _INVALID_CLAIM_MESSAGE),
)
"""What is wrong with a token, by the first class that its error has. PyJWT checks the signature before any claim."""

_ORG_ID_ADAPTER = TypeAdapter[str | None](OrgId | None)


class Identity(FrozenModel):
    """The user and organisation of a request, and the API key that acts for the user, if it is one."""

    user_id: UUID
    org_id: OrgId | None
    api_key_id: UUID | None = None

    @property
    def client_id(self) -> UUID:
        """The user or API key whose requests are counted together."""
        return self.api_key_id or self.user_id


class Credential(Identity):
    """The identity of a valid token or API key, and its expiry in seconds since 1970."""

    expires_at: float


class VerifiedToken(FrozenModel):
    """The claims of a valid token. An address that the issuer has not verified is None."""

    issuer: str
    subject: str
    verified_address: str | None
    org_id: OrgId | None
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
            return VerifiedToken(
                issuer=claims["iss"],
                subject=claims["sub"],
                verified_address=_get_verified_address(claims),
                org_id=org_id,
                expires_at=claims["exp"],
            )
        except _INVALID_TOKEN_ERRORS as error:
            raise UnauthenticatedError(_describe_fault(error)) from None

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


def _describe_fault(error: Exception) -> str:
    return next((message for kind, message in _FAULTS if isinstance(error, kind)), "The bearer token is not valid.")


def _get_verified_address(claims: Mapping[str, Any]) -> str | None:
    address = claims.get("email")
    return address if isinstance(address, str) and claims.get("email_verified") is True else None


class CredentialVerifier:
    """Verifies tokens and API keys, and finds the user whom each identifies."""

    def __init__(self, tokens: TokenVerifier, database: Database, *, subject_is_user_id: bool) -> None:
        self._tokens = tokens
        self._database = database
        self._subject_is_user_id = subject_is_user_id

    def verify(self, bearer_token: str) -> Credential:
        return self._find_key(bearer_token) if is_api_key(bearer_token) else self._verify_token(bearer_token)

    def _find_key(self, secret: str) -> Credential:
        with self._database.transaction() as session:
            key = find_api_key(session, secret)
        if key is None:
            raise UnauthenticatedError(UNKNOWN_KEY_MESSAGE)
        if key.is_expired:
            raise UnauthenticatedError(_EXPIRED_KEY_MESSAGE)
        return Credential(
            user_id=key.user_id, org_id=key.org_id, api_key_id=key.id, expires_at=key.expires_at.timestamp()
        )

    def _verify_token(self, bearer_token: str) -> Credential:
        token = self._tokens.verify(bearer_token)
        with self._database.transaction() as session:
            user_id = resolve_user(session, token.issuer, token.subject, token.verified_address)
        if user_id is None and self._subject_is_user_id:
            user_id = _parse_user_id(token.subject)
        if user_id is None:
            raise PermissionDeniedError("You are not a user of this service.")
        return Credential(user_id=user_id, org_id=token.org_id, expires_at=token.expires_at)


def _parse_user_id(subject: str) -> UUID | None:
    try:
        return UUID(subject)
    except ValueError:
        return None
