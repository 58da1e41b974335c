"""Activities and their attachments."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, DEFAULT_ZERO

_MENTOR_FOREIGN_KEY = ForeignKeyConstraint(["org_id", "mentor_id"], ["peer_mentors.org_id", "peer_mentors.id"])


_ACTIVITY_FOREIGN_KEY = ForeignKeyConstraint(["org_id", "activity_id"], ["activities.org_id", "activities.id"])


class Activity(SQLModel, table=True):
    """A peer mentor's activity. The activities of a mentor never overlap."""

    __tablename__ = "activities"
    __table_args__ = (
        _MENTOR_FOREIGN_KEY,
        ForeignKeyConstraint(["org_id", "batch_id"], ["bulk_registrations.org_id", "bulk_registrations.id"]),
        Index(
            "activities_of_batch",
            *("org_id", "batch_id", "starts_at", "id"),
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        Index("activities_of_org", "org_id", "id", unique=True),
        Index(
            "activities_in_report_order",
            "org_id",
            "starts_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    mentor_id: UUID
    activity_type: str
    starts_at: datetime
    ends_at: datetime
    participants: int
    new_participants: int
    place: str
    in_person: bool
    in_norway: bool
    note: str | None = None
    registered_by: UUID | None = Field(default=None, foreign_key="users.id")
    batch_id: UUID | None = None
    event_id: UUID | None = None
    """The event at which it took place; the activities of several mentors can have the same."""
    edits: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    deleted_at: datetime | None = None


class Attachment(SQLModel, table=True):
    """A file that belongs to an activity."""

    __tablename__ = "attachments"
    __table_args__ = (_ACTIVITY_FOREIGN_KEY, Index("attachments_of_activity", "org_id", "activity_id"))

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    activity_id: UUID
    file_name: str
    mime_type: str
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: str
    object_key: str = Field(unique=True)
