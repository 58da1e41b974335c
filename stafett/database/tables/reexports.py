"""Re-exports of reports, and their allowed status transitions."""

from datetime import datetime
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
from stafett.domain.reexport_job import ReexportJob
from stafett.domain.reexport_status import ReexportStatus

_IS_UNFINISHED = text("status NOT IN ('completed', 'failed', 'cancelled')")


def _export_foreign_key(column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["org_id", column], ["exports.org_id", "exports.id"])


class ReexportTransition(SQLModel, table=True):
    """A status transition that the database allows for a re-export."""

    __tablename__ = "reexport_transitions"

    from_status: str = Field(primary_key=True)
    to_status: str = Field(primary_key=True)


class Reexport(SQLModel, table=True):
    """A re-export job, from its request to the new version of the report."""

    __tablename__ = "report_reexports"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "report_id"], ["reports.org_id", "reports.id"]),
        _export_foreign_key("source_export_id"),
        _export_foreign_key("export_id"),
        _export_foreign_key("result_export_id"),
        Index("report_reexports_of_org", "org_id", "id", unique=True),
        Index("report_reexports_attempt_per_report", "report_id", "attempt", unique=True),
        Index("report_reexports_one_unfinished_per_report", "report_id", unique=True, postgresql_where=_IS_UNFINISHED),
        Index("report_reexports_by_created_at", text("created_at DESC"), text("id DESC")),
        Index("report_reexports_by_status", "status", text("created_at DESC"), text("id DESC")),
        Index("report_reexports_by_org_created_at", "org_id", text("created_at DESC"), text("id DESC")),
        Index("report_reexports_unfinished", "created_at", "id", postgresql_where=_IS_UNFINISHED),
        Index(
            "report_reexports_needing_attention",
            "org_id",
            postgresql_where=text("status NOT IN ('completed', 'cancelled')"),
        ),
        Index("report_reexports_by_result", "org_id", "result_export_id"),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    report_id: UUID
    attempt: int
    requested_by: UUID = Field(foreign_key="users.id")
    request: JsonObject = Field(sa_type=JSONB_OR_NULL)
    source_export_id: UUID | None = None
    period_start: datetime
    period_end: datetime
    status: ReexportStatus = Field(default=ReexportStatus.PENDING, sa_type=StrEnumType(ReexportStatus))
    crashes: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    request_id: str | None = Field(default=None, sa_column_kwargs=DEFAULT_REQUEST_ID)
    run_id: str | None = None
    export_id: UUID | None = Field(default=None, unique=True)
    file_version: int | None = None
    file: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    result_export_id: UUID | None = None
    unchanged: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    notified_at: datetime | None = None
    label: str | None = None
    error: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    audit_id: UUID
    edits: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    changes: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    updated_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    completed_at: datetime | None = None

    @property
    def job(self) -> ReexportJob:
        """The argument of the workflow."""
        return ReexportJob(
            reexport_id=self.id,
            report_id=self.report_id,
            org_id=self.org_id,
            attempt=self.attempt,
            period_start=self.period_start,
            period_end=self.period_end,
        )
