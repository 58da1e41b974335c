"""Idempotency keys: one job per key, however often and concurrently a client sends it."""

import hashlib
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from pydantic import BaseModel
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from stafett.database.tables import IdempotencyKey
from stafett.domain.errors import IdempotencyKeyReusedError

KEY_RETENTION = timedelta(days=30)


class IdempotencyScope(NamedTuple):
    """A key chosen by a client, within one operation of one organisation; none if the client sent no key."""

    org_id: str
    operation: str
    key: str | None


def delete_expired_keys(session: Session) -> None:
    """Delete the expired keys of all organisations, in a session of the maintenance role."""
    old = delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < func.now() - KEY_RETENTION)
    session.execute(old, execution_options={"synchronize_session": False})  # the role cannot select keys


def claim_idempotency_key(session: Session, key: IdempotencyScope, body: BaseModel | UUID, new_id: UUID) -> UUID:
    """Claim the `Idempotency-Key` for a new job; return ``new_id``, or the id of the job that has the key already.

    The body of a command without a body is the id of the resource that it is about.
    """
    if key.key is None:
        return new_id
    fingerprint = _hash_request(body)
    row = insert(IdempotencyKey).values(**key._asdict(), request_sha256=fingerprint, resource_id=new_id)
    # This waits for a concurrent transaction with the same key to commit or roll back.
    if session.scalar(row.on_conflict_do_nothing().returning(col(IdempotencyKey.resource_id))) is not None:
        return new_id
    return _require_same_request(session.get_one(IdempotencyKey, key), fingerprint)


def claim_once(session: Session, key: IdempotencyScope, resource_id: UUID) -> bool:
    """Claim the key of a command on a resource; return false if the key has already been used for it."""
    new_id = uuid4()
    return claim_idempotency_key(session, key, resource_id, new_id) == new_id


def find_claimed_id(session: Session, key: IdempotencyScope, body: BaseModel) -> UUID | None:
    """Return the id of the job that was started with the key, for services that run other checks before the claim."""
    row = None if key.key is None else session.get(IdempotencyKey, key)
    return _require_same_request(row, _hash_request(body)) if row else None


def _require_same_request(row: IdempotencyKey, fingerprint: str) -> UUID:
    if row.request_sha256 != fingerprint:
        raise IdempotencyKeyReusedError("This idempotency key was used for another request.")
    return row.resource_id


def _hash_request(body: BaseModel | UUID) -> str:
    """Hash the body without default values, so that a field added by a later version does not change the hash."""
    content = str(body) if isinstance(body, UUID) else body.model_dump_json(exclude_defaults=True)
    return hashlib.sha256(content.encode()).hexdigest()
