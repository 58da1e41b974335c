"""Organisations, users, memberships and peer mentors."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import AutoString, Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, DEFAULT_ZERO, StrEnumType
from stafett.domain.export import Locale
from stafett.domain.membership import Role


class Organisation(SQLModel, table=True):
    """A tenant."""

    __tablename__ = "organisations"

    id: str = Field(primary_key=True)
    name: str
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class User(SQLModel, table=True):
    """A user account, which other tables refer to by the opaque id only."""

    __tablename__ = "users"

    id: UUID = Field(primary_key=True)
    email: str = Field(unique=True)
    display_name: str
    is_operator: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    language: Locale | None = Field(default=None, sa_type=AutoString)


class UserIdentity(SQLModel, table=True):
    """The account of a user at an identity provider, by the issuer and its opaque subject."""

    __tablename__ = "user_identities"
    __table_args__ = (Index("user_identities_one_per_issuer", "user_id", "issuer", unique=True),)

    issuer: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id")
    linked_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class Membership(SQLModel, table=True):
    """The role of a user in an organisation."""

    __tablename__ = "memberships"
    __table_args__ = (Index("memberships_by_org_created_at", "org_id", text("created_at DESC"), text("user_id DESC")),)

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    role: Role = Field(sa_type=StrEnumType(Role))
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class ApiKey(SQLModel, table=True):
    """A key with which a program acts for the user who made it. The secret itself is not stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index(
            "api_keys_by_org_created_at",
            "org_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    user_id: UUID = Field(foreign_key="users.id")
    name: str
    role: Role = Field(sa_type=StrEnumType(Role))
    secret_sha256: str = Field(unique=True)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class PeerMentor(SQLModel, table=True):
    """A *likeperson* of one organisation."""

    __tablename__ = "peer_mentors"
    __table_args__ = (
        Index("peer_mentors_of_org", "org_id", "id", unique=True),
        Index("peer_mentors_by_name", "org_id", "display_name", "id"),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    display_name: str
    active: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    branch: str | None = None
    approved_at: datetime | None = None
    edits: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
