"""Reports and the file versions of each."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, DEFAULT_ZERO, JSONB_OR_NULL, JsonObject, export_foreign_key


class Report(SQLModel, table=True):
    """A report in an organisation's history, and when it was submitted."""

    __tablename__ = "reports"
    __table_args__ = (
        export_foreign_key(),
        Index("reports_of_org", "org_id", "id", unique=True),
        Index("reports_by_org_created_at", "org_id", text("created_at DESC"), text("id DESC")),
        Index("reports_not_submitted", "org_id", postgresql_where=text("submitted_at IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    export_id: UUID = Field(unique=True)
    period_start: datetime
    period_end: datetime
    parameters: JsonObject = Field(sa_type=JSONB_OR_NULL)
    submitted_at: datetime | None = None
    submitted_version: int | None = None
    grant_year: int | None = None
    edits: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    changes: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class ReportFileVersion(SQLModel, table=True):
    """A version of a report, with its file. Versions are added and, but for the submission, never changed."""

    __tablename__ = "report_files"
    __table_args__ = (
        export_foreign_key(),
        ForeignKeyConstraint(["org_id", "report_id"], ["reports.org_id", "reports.id"]),
        ForeignKeyConstraint(["org_id", "reexport_id"], ["report_reexports.org_id", "report_reexports.id"]),
        Index("report_files_of_export", "org_id", "export_id"),
    )

    report_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    export_id: UUID
    kind: str
    file: JsonObject = Field(sa_type=JSONB_OR_NULL)
    mapping: JsonObject = Field(sa_type=JSONB_OR_NULL)
    created_by: UUID = Field(foreign_key="users.id")
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    reexport_id: UUID | None = Field(default=None, unique=True)
    source: str | None = None
    reason: str | None = None
    change: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    submitted_at: datetime | None = None
    submitted_reference: str | None = None
