"""Statuses of a re-export, with the allowed transitions.

The database enforces the same transitions with the table ``reexport_transitions``; a test compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from stafett.domain.export_status import ExportErrorCode


class ReexportStatus(StrEnum):
    """Status of a re-export: the step that is running, or the outcome."""

    PENDING = "pending"
    EXPORTING = "exporting"
    STORING_RESULT = "storing_result"
    NOTIFYING = "notifying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in REEXPORT_FINAL_STATUSES


REEXPORT_FINAL_STATUSES = frozenset({ReexportStatus.COMPLETED, ReexportStatus.FAILED, ReexportStatus.CANCELLED})
RESULT_STORED_STATUSES = frozenset({ReexportStatus.NOTIFYING, ReexportStatus.COMPLETED})
"""In these statuses the new version is in the report's history, and a cancel is no longer possible."""

_ALWAYS_POSSIBLE = frozenset({ReexportStatus.FAILED, ReexportStatus.CANCELLING})

REEXPORT_TRANSITIONS: Mapping[ReexportStatus, frozenset[ReexportStatus]] = MappingProxyType(
    {
        ReexportStatus.PENDING: frozenset({ReexportStatus.EXPORTING}) | _ALWAYS_POSSIBLE,
        ReexportStatus.EXPORTING: frozenset({ReexportStatus.STORING_RESULT}) | _ALWAYS_POSSIBLE,
        ReexportStatus.STORING_RESULT: frozenset({ReexportStatus.NOTIFYING}) | _ALWAYS_POSSIBLE,
        ReexportStatus.NOTIFYING: frozenset({ReexportStatus.COMPLETED}),
        ReexportStatus.CANCELLING: frozenset({ReexportStatus.CANCELLED}),
        ReexportStatus.COMPLETED: frozenset(),
        ReexportStatus.FAILED: frozenset(),
        ReexportStatus.CANCELLED: frozenset(),
    }
)

REEXPORT_ERROR_CODE_BY_STATUS: Mapping[ReexportStatus, ExportErrorCode] = MappingProxyType(
    {ReexportStatus.STORING_RESULT: ExportErrorCode.STORAGE_UNAVAILABLE}
)
"""Error codes of unexpected failures. A failed child export has its own code."""
