"""Audit events, the verifications of their chains, and idempotency keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Uuid, text
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, JSONB_OR_NULL, JsonObject


class IdempotencyKey(SQLModel, table=True):
    """A key chosen by a client, and the job that was started with it."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)

    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    operation: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: str
    resource_id: UUID
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class AuditEvent(SQLModel, table=True):
    """An event of an organisation's hash chain. Only ``append_audit_event`` inserts events; none is ever changed."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("audit_events_of_subject", "org_id", "subject_id", "seq"),
        Index("audit_events_by_event", "org_id", "event", "seq"),
        Index("audit_events_by_actor", "org_id", "actor", "seq"),
        Index("audit_events_by_time", "org_id", "at", "seq"),
        Index(
            "audit_events_one_link_per_day",
            *("org_id", "subject_id", "actor", text("(detail ->> 'day')"), text("(detail ->> 'sha256')")),
            unique=True,
            postgresql_where=text("event = 'link_issued'"),
        ),
    )

    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    id: UUID = Field(sa_type=Uuid, unique=True)
    at: datetime
    actor: str
    event: str
    subject_kind: str
    subject_id: UUID
    status: str | None = None
    detail: JsonObject = Field(sa_type=JSONB_OR_NULL)
    hash: str
    previous_hash: str


class AuditChainLock(SQLModel, table=True):
    """The row that ``append_audit_event`` locks, so that the events of an organisation follow one another."""

    __tablename__ = "audit_chain_locks"

    org_id: str = Field(primary_key=True)


class AuditVerification(SQLModel, table=True):
    """The result of the last verification of an organisation's whole chain."""

    __tablename__ = "audit_verifications"
    __table_args__ = (Index("audit_verifications_broken", "org_id", postgresql_where=text("broken_seq IS NOT NULL")),)

    org_id: str = Field(primary_key=True)
    verified_at: datetime
    last_seq: int = Field(sa_type=BigInteger)
    broken_seq: int | None = Field(default=None, sa_type=BigInteger)
    broken_reason: str | None = None
    checkpoints: int | None = None
    newest_checkpoint_at: datetime | None = None


class AuditVerificationRequest(SQLModel, table=True):
    """A request to verify an organisation's whole chain before it is due."""

    __tablename__ = "audit_verification_requests"

    org_id: str = Field(primary_key=True)
    requested_at: datetime = Field(sa_column_kwargs={"server_default": text("clock_timestamp()")})
