"""API keys: bearer tokens of programs, each with a name, a role and an expiry, of which only a hash is stored."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, LiteralString, NamedTuple
from uuid import UUID, uuid4

from pydantic import ConfigDict, Field, StringConstraints, field_validator
from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from stafett.audit.trail import AuditEntry, append_audit_event
from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.pagination import ListFilter, Page, load_page, select_visible
from stafett.database.session import Database
from stafett.database.tables import ApiKey
from stafett.domain.errors import AlreadyExistsError, NotFoundError, PermissionDeniedError
from stafett.domain.fields import ONE_LINE, UtcDatetime
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller, MemberRole, Role
from stafett.people.access import authorise_addition, lock_administrator, require_administrator

KEY_PREFIX = "stafett_"
"""Secret scanners recognise a key by it, and the API distinguishes it from a JWT."""

_MAKE_OPERATION = "api-keys.make"
_SECRET_BYTES = 32
_DEFAULT_LIFETIME, _MAX_LIFETIME = timedelta(days=90), timedelta(days=366)
_FIND_KEY: LiteralString = (
    "SELECT id, org_id, user_id, expires_at, expires_at <= now() FROM find_api_key(:secret_sha256)"
)


class NewApiKey(FrozenModel):
    """A key to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Nightly export", "role": "coordinator"}]})

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True), ONE_LINE] = Field(
        description="What the key is for. No personal data."
    )
    role: MemberRole = Field(description="Role of the key, which its maker's role must include.")
    expires_at: UtcDatetime = Field(
        default_factory=lambda: datetime.now(UTC) + _DEFAULT_LIFETIME,
        description=f"When the key expires: at most {_MAX_LIFETIME.days} days from now. Default: in 90 days.",
    )

    @field_validator("expires_at")
    @classmethod
    def _check_lifetime(cls, expires_at: datetime) -> datetime:
        if not timedelta(0) < expires_at - datetime.now(UTC) <= _MAX_LIFETIME:
            raise ValueError(f"must be in the future, at most {_MAX_LIFETIME.days} days from now")
        return expires_at


class IssuedApiKey(NamedTuple):
    """A new key with its secret, which is shown only in this response."""

    key: ApiKey
    secret: str


class KnownApiKey(NamedTuple):
    """A key that is not revoked, as found by its secret."""

    id: UUID
    org_id: str
    user_id: UUID
    expires_at: datetime
    is_expired: bool


class ApiKeyService:
    """The administrators' access to the ``api_keys`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, org_id: str, filters: ListFilter) -> Page[ApiKey]:
        """List the keys that are not revoked, newest first."""
        require_administrator(caller, org_id)
        query = select_visible(ApiKey, caller, filters).where(col(ApiKey.revoked_at).is_(None))
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            return load_page(session, ApiKey, query, filters)

    def find(self, caller: Caller, org_id: str, key_id: UUID) -> ApiKey:
        """Find a key that is not revoked."""
        require_administrator(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            key = session.get(ApiKey, key_id)
            if key is None or key.revoked_at is not None:
                raise _key_not_found()
            return key

    def make(self, caller: Caller, org_id: str, new: NewApiKey, idempotency_key: str | None = None) -> IssuedApiKey:
        """Make a key. A repeat raises ``AlreadyExistsError``, because the secret cannot be returned again."""
        authorise_addition(caller, org_id)
        if not caller.role.includes(new.role):
            raise PermissionDeniedError("The role of a key cannot be above its maker's role.")
        secret = KEY_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        new_id = uuid4()
        row = {"id": new_id, "org_id": org_id, "user_id": caller.user_id, "secret_sha256": _hash_secret(secret)}
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            lock_administrator(session, caller, org_id)  # a concurrent removal or demotion then revokes the key
            scope = IdempotencyScope(org_id, _MAKE_OPERATION, idempotency_key)
            if claim_idempotency_key(session, scope, new, new_id) != new_id:
                raise AlreadyExistsError("The key was made already. Its secret is shown only once.")
            key = session.scalars(insert(ApiKey).values(row | new.model_dump()).returning(ApiKey)).one()
            append_audit_event(session, _build_entry(key.id, org_id, caller.actor, "api_key_made", role=key.role))
        return IssuedApiKey(key, secret)

    def revoke(self, caller: Caller, org_id: str, key_id: UUID) -> None:
        """Revoke a key, which is then rejected at once."""
        require_administrator(caller, org_id)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            revoke = update(ApiKey).where(
                col(ApiKey.id) == key_id, col(ApiKey.org_id) == org_id, col(ApiKey.revoked_at).is_(None)
            )
            values = {"revoked_at": func.clock_timestamp()}
            if session.scalar(revoke.values(values).returning(col(ApiKey.id))) is None:
                raise _key_not_found()
            append_revocations(session, org_id, caller.actor, [key_id])


def _key_not_found() -> NotFoundError:
    return NotFoundError("There is no such API key.")


def is_api_key(bearer_token: str) -> bool:
    return bearer_token.startswith(KEY_PREFIX)


def find_api_key(session: Session, secret: str) -> KnownApiKey | None:
    """Find the key with this secret, unless it is revoked."""
    row = session.execute(text(_FIND_KEY), {"secret_sha256": _hash_secret(secret)}).one_or_none()
    return None if row is None else KnownApiKey(*row)


def revoke_keys_of_user(
    session: Session, org_id: str, user_id: UUID, *, unless_included_in: Role | None = None
) -> Sequence[UUID]:
    """Revoke the keys that a user has made, except those whose role the user's new role includes; return their ids."""
    conditions = [col(ApiKey.org_id) == org_id, col(ApiKey.user_id) == user_id, col(ApiKey.revoked_at).is_(None)]
    if unless_included_in is not None:
        conditions.append(col(ApiKey.role).not_in([role for role in Role if unless_included_in.includes(role)]))
    statement = update(ApiKey).where(*conditions).values(revoked_at=func.clock_timestamp())
    return session.scalars(statement.returning(col(ApiKey.id))).all()


def append_revocations(session: Session, org_id: str, actor: str, key_ids: Sequence[UUID]) -> None:
    for key_id in key_ids:
        append_audit_event(session, _build_entry(key_id, org_id, actor, "api_key_revoked"))


def _hash_secret(secret: str) -> str:
    """Hash a secret. It has 256 random bits, so that a fast hash without a salt is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _build_entry(key_id: UUID, org_id: str, actor: str, event: str, **detail: str) -> AuditEntry:
    return AuditEntry(
        org_id=org_id, actor=actor, event=event, subject_kind="api_key", subject_id=key_id, detail={**detail}
    )
