"""A client's key stands for one job: however often, and from however many places at once, it is sent."""

import hashlib
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from stafett.database.tables import IdempotencyKey
from stafett.domain.errors import IdempotencyKeyReusedError

KEY_RETENTION = timedelta(days=30)


class OperationKey(NamedTuple):
    """What a client chose, for one operation of one organisation."""

    org_id: str
    operation: str
    key: str


def delete_expired_keys(session: Session) -> None:
    """Those of requests that nobody repeats any more; as the maintenance role, of every organisation."""
    age = func.now() - col(IdempotencyKey.created_at)
    old = delete(IdempotencyKey).where(age > KEY_RETENTION)
    session.execute(old, execution_options={"synchronize_session": False})  # the role reads no keys


def claim_key(session: Session, key: OperationKey, body: BaseModel, new_id: UUID) -> UUID:
    """The id that this key stands for: the new one, or the one of the job that it started before."""
    fingerprint = _hash_request(body)
    row = insert(IdempotencyKey).values(**key._asdict(), request_sha256=fingerprint, resource_id=new_id)
    # Somebody who is just now using the same key is waited for here, until they commit or give up.
    if session.scalar(row.on_conflict_do_nothing().returning(col(IdempotencyKey.resource_id))) is not None:
        return new_id
    return _require_same_request(session.get_one(IdempotencyKey, key), fingerprint)


def find_claimed_id(session: Session, key: OperationKey, body: BaseModel) -> UUID | None:
    """The id that this key stands for already, for whoever has something to settle before a claim."""
    known = session.get(IdempotencyKey, key)
    return _require_same_request(known, _hash_request(body)) if known else None


def _require_same_request(row: IdempotencyKey, fingerprint: str) -> UUID:
    if row.request_sha256 != fingerprint:
        raise IdempotencyKeyReusedError("This idempotency key was used for another request.")
    return row.resource_id


def _hash_request(body: BaseModel) -> str:
    """What was not said is left out, so that a field a later version adds does not make an old body another one."""
    return hashlib.sha256(body.model_dump_json(exclude_defaults=True).encode()).hexdigest()
