"""The journal of erasures, apart from the tables that they go through; the migrations hold for it as for the others."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, JsonObject, StrEnumType
from stafett.domain.erasure import PersonKind


class Erasure(SQLModel, table=True):
    """The progress of one person's erasure. `search_name` is stored only while copies of the name are searched for."""

    __tablename__ = "erasures"

    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    kind: PersonKind = Field(primary_key=True, sa_type=StrEnumType(PersonKind))
    person_id: UUID = Field(primary_key=True)
    search_name: str | None = None
    summary: JsonObject = Field(sa_type=JSONB(none_as_null=True), sa_column_kwargs={"server_default": text("'{}'")})
    started_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    finished_at: datetime | None = None
