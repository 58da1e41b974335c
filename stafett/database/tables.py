"""The tables as SQLModel sees them. Checks, policies and grants are the migrations'; a test holds both together."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, JSON, BigInteger, Dialect, ForeignKeyConstraint, Index, TypeDecorator, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import AutoString, Field, SQLModel

from stafett.domain.export import ExportOrigin
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Role

Json = dict[str, Any]


class Code(TypeDecorator[StrEnum]):
    """A code of ours, as text in the database and as the enumeration's member in Python."""

    impl = AutoString
    cache_ok = True

    def __init__(self, codes: type[StrEnum]) -> None:
        super().__init__()
        self.codes = codes

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else self.codes(value)


_JSON = JSONB(none_as_null=True)
_NOW = {"server_default": text("now()")}
_OF_ITS_MENTOR = ForeignKeyConstraint(["org_id", "mentor_id"], ["peer_mentors.org_id", "peer_mentors.id"])
_OF_ITS_ACTIVITY = ForeignKeyConstraint(["org_id", "activity_id"], ["activities.org_id", "activities.id"])


def _of_its_export() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["org_id", "export_id"], ["exports.org_id", "exports.id"])


class Organisation(SQLModel, table=True):
    """A tenant."""

    __tablename__ = "organisations"

    id: str = Field(primary_key=True)
    name: str
    created_at: datetime = Field(sa_column_kwargs=_NOW)


class User(SQLModel, table=True):
    """Somebody with an account, known everywhere else by the opaque id alone."""

    __tablename__ = "users"

    id: UUID = Field(primary_key=True)
    email: str = Field(unique=True)
    display_name: str
    is_operator: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class Membership(SQLModel, table=True):
    """What a user is to an organisation."""

    __tablename__ = "memberships"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    role: Role = Field(sa_type=Code(Role))


class PeerMentor(SQLModel, table=True):
    """A *likeperson* of one organisation."""

    __tablename__ = "peer_mentors"
    __table_args__ = (Index("peer_mentors_of_org", "org_id", "id", unique=True),)

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    display_name: str
    active: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})


class Activity(SQLModel, table=True):
    """What a mentor did, from when to when; no mentor does two things at once."""

    __tablename__ = "activities"
    __table_args__ = (
        _OF_ITS_MENTOR,
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
    created_at: datetime = Field(sa_column_kwargs=_NOW)
    deleted_at: datetime | None = None


class Attachment(SQLModel, table=True):
    """A file that belongs to an activity."""

    __tablename__ = "attachments"
    __table_args__ = (_OF_ITS_ACTIVITY, Index("attachments_of_activity", "org_id", "activity_id"))

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    activity_id: UUID
    file_name: str
    mime_type: str
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: str
    object_key: str = Field(unique=True)


class ExportTransition(SQLModel, table=True):
    """A step the database lets an export take."""

    __tablename__ = "export_transitions"

    from_status: str = Field(primary_key=True)
    to_status: str = Field(primary_key=True)


_UNFINISHED = text("status NOT IN ('completed', 'completed_empty', 'failed', 'cancelled')")


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
        Index("exports_unfinished", "created_at", "id", postgresql_where=_UNFINISHED),
        Index("exports_to_tidy", "completed_at", "id", postgresql_where=text("tidied_at IS NULL")),
        Index("exports_with_files_to_remove", "completed_at", "id", postgresql_where=text("files_removed_at IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    requested_by: UUID = Field(foreign_key="users.id")
    parameters: Json = Field(sa_type=_JSON)
    period_start: datetime
    period_end: datetime
    status: ExportStatus = Field(default=ExportStatus.INITIALISED, sa_type=Code(ExportStatus))
    attempt: int = 1
    progress: Json | None = Field(default=None, sa_type=_JSON)
    counts: Json | None = Field(default=None, sa_type=_JSON)
    warnings: list[Json] = Field(sa_type=_JSON, sa_column_kwargs={"server_default": text("'[]'")})
    partial_failure_count: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    not_countable: list[Json] | None = Field(default=None, sa_type=_JSON)
    mapping: Json | None = Field(default=None, sa_type=_JSON)
    file: Json | None = Field(default=None, sa_type=_JSON)
    error: Json | None = Field(default=None, sa_type=_JSON)
    audit_id: UUID
    edits: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    changes: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = Field(sa_column_kwargs=_NOW)
    updated_at: datetime = Field(sa_column_kwargs=_NOW)
    completed_at: datetime | None = None
    report_id: UUID | None = Field(default=None, unique=True)
    origin: ExportOrigin = Field(
        default=ExportOrigin.REPORT, sa_type=Code(ExportOrigin), sa_column_kwargs={"server_default": text("'report'")}
    )
    reexport_id: UUID | None = None
    repeats: UUID | None = None
    deleted_at: datetime | None = None
    tidied_at: datetime | None = None
    files_removed_at: datetime | None = None


class ExportAttempt(SQLModel, table=True):
    """One run at an export; a retry makes another."""

    __tablename__ = "export_attempts"
    __table_args__ = (_of_its_export(),)

    export_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    started_at: datetime = Field(sa_column_kwargs=_NOW)
    ended_at: datetime | None = None
    outcome: str | None = None
    resumed_from: str | None = None
    stages_reused: list[str] = Field(sa_type=ARRAY(AutoString), sa_column_kwargs={"server_default": text("'{}'")})


class ExportStageOutput(SQLModel, table=True):
    """What a finished stage left for the next one: references, counts and hashes."""

    __tablename__ = "export_stage_outputs"
    __table_args__ = (_of_its_export(),)

    export_id: UUID = Field(primary_key=True)
    stage: ExportStatus = Field(primary_key=True, sa_type=Code(ExportStatus))
    org_id: str = Field(foreign_key="organisations.id")
    attempt: int
    rows: int = Field(sa_type=BigInteger)
    outputs: Json = Field(sa_type=_JSON)
    finished_at: datetime = Field(sa_column_kwargs=_NOW)


class ExportMappedPart(SQLModel, table=True):
    """What is mapped of an export whose mapping is not finished."""

    __tablename__ = "export_mapped_parts"
    __table_args__ = (_of_its_export(),)

    export_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    made_from: str
    objects: Json = Field(sa_type=_JSON)
    outcome: Json = Field(sa_type=_JSON)
    kept_at: datetime = Field(sa_column_kwargs=_NOW)


class ExportStageTries(SQLModel, table=True):
    """How often a stage was begun without an answer."""

    __tablename__ = "export_stage_tries"
    __table_args__ = (_of_its_export(),)

    export_id: UUID = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    stage: ExportStatus = Field(primary_key=True, sa_type=Code(ExportStatus))
    org_id: str = Field(foreign_key="organisations.id")
    unanswered: int


class ExportPartialFailures(SQLModel, table=True):
    """Which rows of an export are not as they should be: at most a thousand entries."""

    __tablename__ = "export_partial_failures"
    __table_args__ = (_of_its_export(),)

    export_id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    reports: list[Json] = Field(sa_type=_JSON)


class Report(SQLModel, table=True):
    """An entry of an organisation's history: what was made once, and whether it was handed in."""

    __tablename__ = "reports"
    __table_args__ = (
        _of_its_export(),
        Index("reports_of_org", "org_id", "id", unique=True),
        Index("reports_newest_first", "org_id", text("created_at DESC"), text("id DESC")),
    )

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    export_id: UUID = Field(unique=True)
    period_start: datetime
    period_end: datetime
    parameters: Json = Field(sa_type=_JSON)
    submitted_at: datetime | None = None
    submitted_reference: str | None = None
    edits: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    changes: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = Field(sa_column_kwargs=_NOW)


class ReportFileVersion(SQLModel, table=True):
    """One file that a report was made as; added, never changed."""

    __tablename__ = "report_files"
    __table_args__ = (
        _of_its_export(),
        ForeignKeyConstraint(["org_id", "report_id"], ["reports.org_id", "reports.id"]),
        ForeignKeyConstraint(["org_id", "reexport_id"], ["report_reexports.org_id", "report_reexports.id"]),
        Index("report_files_of_export", "org_id", "export_id"),
    )

    report_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    export_id: UUID
    kind: str
    file: Json = Field(sa_type=_JSON)
    mapping: Json = Field(sa_type=_JSON)
    created_by: UUID = Field(foreign_key="users.id")
    created_at: datetime = Field(sa_column_kwargs=_NOW)
    reexport_id: UUID | None = Field(default=None, unique=True)
    source: str | None = None
    reason: str | None = None
    change: Json | None = Field(default=None, sa_type=_JSON)


class ColumnMappingVersion(SQLModel, table=True):
    """One version of an organisation's mapping document; added, never changed."""

    __tablename__ = "column_mappings"
    __table_args__ = (Index("column_mappings_by_day", "org_id", text("effective_from DESC"), text("version DESC")),)

    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    version: int = Field(primary_key=True)
    id: UUID = Field(unique=True)
    effective_from: date
    sha256: str
    document: Json = Field(sa_type=JSON)
    created_by: UUID | None = Field(default=None, foreign_key="users.id")
    created_at: datetime = Field(sa_column_kwargs=_NOW)


class PreviewResult(SQLModel, table=True):
    """A preview that waits to be fetched, once."""

    __tablename__ = "preview_results"

    id: UUID = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.id")
    result: Json = Field(sa_type=JSON)
    created_at: datetime = Field(sa_column_kwargs=_NOW)


class IdempotencyKey(SQLModel, table=True):
    """A key a client chose, and the one job that it stands for."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)

    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    operation: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: str
    resource_id: UUID
    created_at: datetime = Field(sa_column_kwargs=_NOW)


class AuditEvent(SQLModel, table=True):
    """One link of an organisation's chain of events; written by ``append_audit_event`` alone, never changed."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("audit_events_of_subject", "org_id", "subject_id", "seq"),
        Index(
            "audit_events_one_link_a_day",
            *("org_id", "subject_id", "actor", text("(detail ->> 'day')"), text("(detail ->> 'sha256')")),
            unique=True,
            postgresql_where=text("event = 'link_issued'"),
        ),
    )

    org_id: str = Field(primary_key=True, foreign_key="organisations.id")
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    id: UUID = Field(sa_type=Uuid, unique=True)
    at: datetime
    actor: str
    event: str
    subject_kind: str
    subject_id: UUID
    status: str | None = None
    detail: Json = Field(sa_type=_JSON)
    hash: str
    previous_hash: str
