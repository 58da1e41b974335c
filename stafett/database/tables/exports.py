"""Exports with their attempts, stage outputs and partial failures; previews."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, JSON, BigInteger, ForeignKeyConstraint, Index, text
from sqlmodel import AutoString, Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, JSONB_OR_NULL, JsonObject, StrEnumType, export_foreign_key
from stafett.domain.export import ExportOrigin
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus


class ExportTransition(SQLModel, table=True):
    """A step the database lets an export take."""

    __tablename__ = "export_transitions"

    from_status: str = Field(primary_key=True)
    to_status: str = Field(primary_key=True)


_IS_UNFINISHED = text("status NOT IN ('completed', 'completed_empty', 'failed', 'cancelled')")


class Export(SQLModel, table=True):
    """An export job, from its request to its file; the row is the state machine's only memory."""

    __tablename__ = "exports"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "reexport_id"], ["report_reexports.org_id", "report_reexports.id"], use_alter=True
        ),
        ForeignKeyConstraint(["org_id", "repeats"], ["exports.org_id", "exports.id"]),
        Index("exports_of_reexport", "reexport_id", unique=True),
        Index("exports_of_org", "org_id", "id", unique=True),
        Index("exports_newest_of_all", text("created_at DESC"), text("id DESC")),
        Index("exports_newest_first", "org_id", text("created_at DESC"), text("id DESC")),
        Index("exports_unfinished", "created_at", "id", postgresql_where=_IS_UNFINISHED),
        Index("exports_to_tidy", "completed_at", "id", postgresql_where=text("tidied_at IS NULL")),
        Index("exports_with_files_to_remove", "completed_at", "id", postgresql_where=text("files_removed_at IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    requested_by: UUID = Field(foreign_key="users.id")
    parameters: JsonObject = Field(sa_type=JSONB_OR_NULL)
    period_start: datetime
    period_end: datetime
    status: ExportStatus = Field(default=ExportStatus.INITIALISED, sa_type=StrEnumType(ExportStatus))
    attempt: int = 1
    progress: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    counts: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    warnings: list[JsonObject] = Field(sa_type=JSONB_OR_NULL, sa_column_kwargs={"server_default": text("'[]'")})
    partial_failure_count: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    not_countable: list[JsonObject] | None = Field(default=None, sa_type=JSONB_OR_NULL)
    mapping: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    file: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    error: JsonObject | None = Field(default=None, sa_type=JSONB_OR_NULL)
    audit_id: UUID
    edits: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    changes: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
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
    repeats: UUID | None = None
    deleted_at: datetime | None = None
    tidied_at: datetime | None = None
    files_removed_at: datetime | None = None

    @property
    def job(self) -> ExportJob:
        """The job's identity, as the workflow carries it."""
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
    """One run at an export; a retry makes another."""

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
    """What a finished stage left for the next one: references, counts and hashes."""

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
    """What is mapped of an export whose mapping is not finished."""

    __tablename__ = "export_mapped_parts"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    made_from: str
    objects: JsonObject = Field(sa_type=JSONB_OR_NULL)
    outcome: JsonObject = Field(sa_type=JSONB_OR_NULL)
    kept_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)


class ExportStageCrashes(SQLModel, table=True):
    """How often a stage was begun without an answer."""

    __tablename__ = "export_stage_tries"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    stage: ExportStatus = Field(primary_key=True, sa_type=StrEnumType(ExportStatus))
    org_id: str = Field(foreign_key="organisations.id")
    unanswered: int


class ExportPartialFailures(SQLModel, table=True):
    """Which rows of an export are not as they should be: at most a thousand entries."""

    __tablename__ = "export_partial_failures"
    __table_args__ = (export_foreign_key(),)

    export_id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    reports: list[JsonObject] = Field(sa_type=JSONB_OR_NULL)


class PreviewResult(SQLModel, table=True):
    """A preview that waits to be fetched, once."""

    __tablename__ = "preview_results"

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    result: JsonObject = Field(sa_type=JSON)
    created_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
