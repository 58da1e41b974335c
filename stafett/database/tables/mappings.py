"""Versions of column-mapping documents."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import JSON, Index, text
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, JsonObject


class ColumnMappingVersion(SQLModel, table=True):
    """A version of an organisation's mapping document. Versions are added and never changed."""

    __tablename__ = "column_mappings"
    __table_args__ = (Index("column_mappings_by_day", "org_id", text("effective_from DESC"), text("version DESC")),)

    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    version: int = Field(primary_key=True)
    id: UUID = Field(unique=True)
    effective_from: date
    sha256: str
    document: JsonObject = Field(sa_type=JSON)
    created_by: UUID | None = Field(default=None, foreign_key="users.id")
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
