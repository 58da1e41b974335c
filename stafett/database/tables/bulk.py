"""Bulk registrations, their items and allowed status transitions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import (
    DEFAULT_NOW,
    DEFAULT_REQUEST_ID,
    DEFAULT_ZERO,
    JSONB_OR_NULL,
    JsonObject,
    StrEnumType,
)
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob
from stafett.domain.bulk_status import BulkStatus, ItemErrorCode, ItemStatus


class BulkTransition(SQLModel, table=True):
    """A status transition that the database allows for a batch."""

    __tablename__ = "bulk_transitions"

    from_status: str = Field(primary_key=True)
    to_status: str = Field(primary_key=True)


class BulkBatch(SQLModel, table=True):
    """One activity for many peer mentors, with the number of items per outcome."""

    __tablename__ = "bulk_registrations"
    __table_args__ = (
        Index("bulk_registrations_of_org", "org_id", "id", unique=True),
        ForeignKeyConstraint(["org_id", "corrects"], ["bulk_registrations.org_id", "bulk_registrations.id"]),
        Index("bulk_registrations_corrections", "org_id", "corrects", postgresql_where=text("corrects IS NOT NULL")),
        Index(
            "bulk_registrations_one_correction",
            "org_id",
            "corrects",
            unique=True,
            postgresql_where=text(
                "corrects IS NOT NULL AND deleted_at IS NULL AND status NOT IN ('failed', 'cancelled')"
            ),
        ),
        Index("bulk_registrations_by_created_at", text("created_at DESC"), text("id DESC")),
        Index("bulk_registrations_by_status", "status", text("created_at DESC"), text("id DESC")),
        Index("bulk_registrations_by_org_created_at", "org_id", text("created_at DESC"), text("id DESC")),
        Index("bulk_registrations_unfinished", "created_at", "id", postgresql_where=text("completed_at IS NULL")),
        Index(
            "bulk_registrations_needing_attention",
            "org_id",
            postgresql_where=text("deleted_at IS NULL AND status NOT IN ('completed', 'cancelled')"),
        ),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    requested_by: UUID = Field(foreign_key="users.id")
    label: str | None = None
    activity: JsonObject = Field(sa_type=JSONB_OR_NULL)
    status: BulkStatus = Field(default=BulkStatus.ACCEPTED, sa_type=StrEnumType(BulkStatus))
    attempt: int = 1
    request_id: str | None = Field(default=None, sa_column_kwargs=DEFAULT_REQUEST_ID)
    total: int
    registered: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    failed: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    cancelled: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    period_start: datetime | None = None
    period_end: datetime | None = None
    corrects: UUID | None = None
    retried: int | None = None
    warnings: list[dict[str, Any]] = Field(sa_type=JSONB_OR_NULL, sa_column_kwargs={"server_default": text("'[]'")})
    error: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    edits: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    changes: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    updated_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    completed_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def counts(self) -> BulkCounts:
        ended = {"registered": self.registered, "failed": self.failed, "cancelled": self.cancelled}
        return BulkCounts(total=self.total, pending=self.total - sum(ended.values()), **ended)

    @property
    def retried_counts(self) -> BulkCounts | None:
        """The counts of the items that the current attempt tries again, without those registered before."""
        if self.retried is None:
            return None
        counts = self.counts
        unregistered = counts.pending + counts.failed + counts.cancelled
        return counts.model_copy(update={"total": self.retried, "registered": self.retried - unregistered})

    @property
    def job(self) -> BulkJob:
        """The argument of the workflow."""
        return BulkJob(
            batch_id=self.id,
            org_id=self.org_id,
            attempt=self.attempt,
            total=self.total,
            period_start=self.period_start,
            period_end=self.period_end,
        )


class BulkItem(SQLModel, table=True):
    """One peer mentor of a batch, and the outcome of the registration."""

    __tablename__ = "bulk_items"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "batch_id"], ["bulk_registrations.org_id", "bulk_registrations.id"]),
        Index("bulk_items_client_ref_per_batch", "batch_id", "client_ref", unique=True),
        Index("bulk_items_by_chunk", "batch_id", "chunk", "position"),
        Index("bulk_items_of_mentor", "org_id", "mentor_id"),
    )

    batch_id: UUID = Field(primary_key=True)
    position: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    chunk: int
    client_ref: str
    mentor_ref: str
    mentor_id: UUID | None = None
    overrides: JsonObject = Field(sa_type=JSONB_OR_NULL)
    validation_error: str | None = None
    activity_id: UUID
    event_id: UUID | None = None
    status: ItemStatus = Field(default=ItemStatus.PENDING, sa_type=StrEnumType(ItemStatus))
    error_code: ItemErrorCode | None = Field(default=None, sa_type=StrEnumType(ItemErrorCode))
    attempts: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
