"""Exports with their attempts, stage outputs and partial failures; previews."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, JSON, BigInteger, ForeignKeyConstraint, Index, text
from sqlmodel import AutoString, Field, SQLModel

from stafett.database.tables.base import (
    DEFAULT_NOW,
    DEFAULT_REQUEST_ID,
    DEFAULT_ZERO,
    JSONB_OR_NULL,
    JsonObject,
    StrEnumType,
    export_foreign_key,
)
from stafett.domain.export import ExportOrigin
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus


class ExportTransition(SQLModel, table=True):
    """A status transition that the database allows for an export."""

    __tablename__ = "export_transitions"

    from_status: str = Field(primary_key=True)
    to_status: str = Field(primary_key=True)


_IS_UNFINISHED = text("status NOT IN ('completed', 'completed_empty', 'failed', 'cancelled')")


class Export(SQLModel, table=True):
    """An export job, from its request to its file. The row is the only storage of the job's state."""

    __tablename__ = "exports"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "reexport_id"], ["report_reexports.org_id", "report_reexports.id"], use_alter=True
        ),
        ForeignKeyConstraint(["org_id", "source_export_id"], ["exports.org_id", "exports.id"]),
        Index("exports_of_reexport", "reexport_id", unique=True),
        Index("exports_of_org", "org_id", "id", unique=True),
        Index("exports_by_created_at", text("created_at DESC"), text("id DESC")),
        Index("exports_by_status", "status", text("created_at DESC"), text("id DESC")),
        Index("exports_by_org_created_at", "org_id", text("created_at DESC"), text("id DESC")),
        Index("exports_unfinished", "created_at", "id", postgresql_where=_IS_UNFINISHED),
        Index(
            "exports_needing_attention",
            "org_id",
            postgresql_where=text(
                "origin = 'report' AND deleted_at IS NULL "
                "AND status NOT IN ('completed', 'completed_empty', 'cancelled')"
            ),
        ),
        Index("exports_staging_to_clear", "completed_at", "id", postgresql_where=text("staging_cleared_at IS NULL")),
        Index("exports_with_files_to_remove", "completed_at", "id", postgresql_where=text("files_removed_at IS NULL")),
        Index(
            "exports_with_removal_to_finish",
            *("completed_at", "id"),
            postgresql_where=text(
                "files_removed_at IS NULL AND (deleted_at IS NOT NULL OR removal_started_at IS NOT NULL)"
            ),
        ),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    requested_by: UUID = Field(foreign_key="users.id")
    parameters: JsonObject = Field(sa_type=JSONB_OR_NULL)
    period_start: datetime
    period_end: datetime
    status: ExportStatus = Field(default=ExportStatus.INITIALISED, sa_type=StrEnumType(ExportStatus))
    attempt: int = 1
    request_id: str | None = Field(default=None, sa_column_kwargs=DEFAULT_REQUEST_ID)
    progress: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    counts: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    warnings: list[JsonObject] = Field(sa_type=JSONB_OR_NULL, sa_column_kwargs={"server_default": text("'[]'")})
    partial_failure_count: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    not_countable: list[JsonObject] | None = Field(default=None, sa_type=JSONB_OR_NULL)
    mapping: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    file: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    error: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    audit_id: UUID
    edits: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    changes: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    updated_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    completed_at: datetime | None = None
    report_id: UUID | None = Field(default=None, unique=True)
    origin: ExportOrigin = Field(
        default=ExportOrigin.REPORT,
        sa_type=StrEnumType(ExportOrigin),
        sa_column_kwargs={"server_default": text("'report'")},
    )
    reexport_id: UUID | None = None
    source_export_id: UUID | None = None
    deleted_at: datetime | None = None
    staging_cleared_at: datetime | None = None
    removal_started_at: datetime | None = None
    files_removed_at: datetime | None = None
    file_missing_since: datetime | None = None

    @property
    def job(self) -> ExportJob:
        """The argument of the workflow."""
        return ExportJob(
            export_id=self.id,
            org_id=self.org_id,
            attempt=self.attempt,
            include_attachments=self.parameters.get("include_attachments", False),
            fail_on_empty=self.parameters.get("fail_on_empty", False),
            period_start=self.period_start,
            period_end=self.period_end,
            origin=self.origin,
        )


class ExportAttempt(SQLModel, table=True):
    """An attempt at an export. A retry adds another."""

    __tablename__ = "export_attempts"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    started_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    ended_at: datetime | None = None
    outcome: str | None = None
    resumed_from: str | None = None
    stages_reused: list[str] = Field(sa_type=ARRAY(AutoString), sa_column_kwargs={"server_default": text("'{}'")})


class ExportStageOutput(SQLModel, table=True):
    """Outputs of a finished stage: storage keys, counts and hashes."""

    __tablename__ = "export_stage_outputs"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    stage: ExportStatus = Field(primary_key=True, sa_type=StrEnumType(ExportStatus))
    org_id: str = Field(foreign_key="organisations.id")
    attempt: int
    rows: int = Field(sa_type=BigInteger)
    outputs: JsonObject = Field(sa_type=JSONB_OR_NULL)
    finished_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class ExportMappedPart(SQLModel, table=True):
    """A mapped part of an export whose mapping stage has not finished."""

    __tablename__ = "export_mapped_parts"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    input_sha256: str
    parts: JsonObject = Field(sa_type=JSONB_OR_NULL)
    outcome: JsonObject = Field(sa_type=JSONB_OR_NULL)
    stored_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class ExportStageCrashes(SQLModel, table=True):
    """Number of executions of a stage that started and reported no result."""

    __tablename__ = "export_stage_crashes"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    stage: ExportStatus = Field(primary_key=True, sa_type=StrEnumType(ExportStatus))
    org_id: str = Field(foreign_key="organisations.id")
    crashes: int


class ExportPartialFailures(SQLModel, table=True):
    """Partial failures of an export, at most 1000, and references to its deviating rows."""

    __tablename__ = "export_partial_failures"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    reports: list[JsonObject] = Field(sa_type=JSONB_OR_NULL)
    deviations: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)


class UnknownExport(SQLModel, table=True):
    """An export that has objects in the bucket of an attempt that the database does not know."""

    __tablename__ = "unknown_exports"

    export_id: UUID = Field(primary_key=True)
    first_seen_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    last_seen_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class PreviewResult(SQLModel, table=True):
    """A preview, which can be fetched once, and the draft of a column mapping that it applies."""

    __tablename__ = "preview_results"
    __table_args__ = (Index("preview_results_by_age", "created_at"),)

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    result: JsonObject | None = Field(default=None, sa_type=JSON)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    draft: JsonObject | None = Field(default=None, sa_type=JSON)
