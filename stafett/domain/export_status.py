"""Statuses and error codes of an export, with the allowed transitions.

The database enforces the same transitions with the table ``export_transitions``; a test compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class ExportStatus(StrEnum):
    """Status of an export: the stage that is running, or the outcome."""

    INITIALISED = "initialised"
    QUERYING_ACTIVITIES = "querying_activities"
    MAPPING_COLUMNS = "mapping_columns"
    GENERATING_FILE = "generating_file"
    BUNDLING_ATTACHMENTS = "bundling_attachments"
    STORING_FILE = "storing_file"
    RECORDING_AUDIT = "recording_audit"
    COMPLETED = "completed"
    COMPLETED_EMPTY = "completed_empty"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in EXPORT_FINAL_STATUSES


EXPORT_STAGES = (
    ExportStatus.QUERYING_ACTIVITIES,
    ExportStatus.MAPPING_COLUMNS,
    ExportStatus.GENERATING_FILE,
    ExportStatus.BUNDLING_ATTACHMENTS,
    ExportStatus.STORING_FILE,
    ExportStatus.RECORDING_AUDIT,
)

EXPORT_FINAL_STATUSES = frozenset(
    {ExportStatus.COMPLETED, ExportStatus.COMPLETED_EMPTY, ExportStatus.FAILED, ExportStatus.CANCELLED}
)

_ALWAYS_POSSIBLE = frozenset({ExportStatus.FAILED, ExportStatus.CANCELLING})

EXPORT_TRANSITIONS: Mapping[ExportStatus, frozenset[ExportStatus]] = MappingProxyType(
    {
        # A new attempt skips the stages whose outputs can be reused, so it can start at any stage.
        ExportStatus.INITIALISED: frozenset(EXPORT_STAGES) | _ALWAYS_POSSIBLE,
        ExportStatus.QUERYING_ACTIVITIES: frozenset({ExportStatus.MAPPING_COLUMNS, ExportStatus.COMPLETED_EMPTY})
        | _ALWAYS_POSSIBLE,
        ExportStatus.MAPPING_COLUMNS: frozenset({ExportStatus.GENERATING_FILE}) | _ALWAYS_POSSIBLE,
        ExportStatus.GENERATING_FILE: frozenset({ExportStatus.BUNDLING_ATTACHMENTS, ExportStatus.STORING_FILE})
        | _ALWAYS_POSSIBLE,
        ExportStatus.BUNDLING_ATTACHMENTS: frozenset({ExportStatus.STORING_FILE}) | _ALWAYS_POSSIBLE,
        ExportStatus.STORING_FILE: frozenset({ExportStatus.RECORDING_AUDIT}) | _ALWAYS_POSSIBLE,
        ExportStatus.RECORDING_AUDIT: frozenset({ExportStatus.COMPLETED}) | _ALWAYS_POSSIBLE,
        ExportStatus.CANCELLING: frozenset({ExportStatus.CANCELLED}),
        ExportStatus.FAILED: frozenset({ExportStatus.INITIALISED}),
        ExportStatus.CANCELLED: frozenset({ExportStatus.INITIALISED}),
        ExportStatus.COMPLETED: frozenset(),
        ExportStatus.COMPLETED_EMPTY: frozenset(),
    }
)


class ExportErrorCode(StrEnum):
    """Stable code for the reason why an export failed."""

    NO_DATA_FOR_PERIOD = "no_data_for_period"
    COLUMN_MAPPING_UNAVAILABLE = "column_mapping_unavailable"
    FILE_GENERATION_FAILED = "file_generation_failed"
    AUDIT_SERVICE_UNAVAILABLE = "audit_service_unavailable"
    PERMISSION_DENIED = "permission_denied"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    QUERY_FAILED = "query_failed"
    ATTACHMENT_UNAVAILABLE = "attachment_unavailable"
    SNAPSHOT_GONE = "snapshot_gone"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


ERROR_CODE_BY_STAGE: Mapping[ExportStatus, ExportErrorCode] = MappingProxyType(
    {
        ExportStatus.QUERYING_ACTIVITIES: ExportErrorCode.QUERY_FAILED,
        ExportStatus.MAPPING_COLUMNS: ExportErrorCode.INTERNAL,
        ExportStatus.GENERATING_FILE: ExportErrorCode.FILE_GENERATION_FAILED,
        ExportStatus.BUNDLING_ATTACHMENTS: ExportErrorCode.ATTACHMENT_UNAVAILABLE,
        ExportStatus.STORING_FILE: ExportErrorCode.STORAGE_UNAVAILABLE,
        ExportStatus.RECORDING_AUDIT: ExportErrorCode.AUDIT_SERVICE_UNAVAILABLE,
    }
)
"""Error codes of unexpected failures by stage."""
