"""Sign-in to the console: login attempts and the sessions of users."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW


class LoginAttempt(SQLModel, table=True):
    """A sign-in that has been sent to an issuer, and whose response is pending."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index("login_attempts_by_expiry", "expires_at"),)

    state_sha256: str = Field(primary_key=True)
    browser_sha256: str
    provider: str
    nonce: str
    code_verifier: str
    return_path: str
    expires_at: datetime


class UserSession(SQLModel, table=True):
    """A session of a user in one browser; the row has only the hash of the cookie's secret."""

    __tablename__ = "user_sessions"
    __table_args__ = (
        Index("user_sessions_of_user", "user_id", "created_at"),
        Index("user_sessions_by_expiry", "idle_expires_at"),
    )

    id: UUID = Field(primary_key=True)
    token_sha256: str = Field(unique=True)
    user_id: UUID = Field(foreign_key="users.id")
    org_id: str | None = Field(default=None, foreign_key="organisations.id")
    provider: str
    id_token: str
    logout_url: str | None = None
    browser: str
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    last_used_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    idle_expires_at: datetime
    expires_at: datetime
