"""Where a re-export can be, and how it gets from one place to the next: the only table of it in Python.

The database holds the same pairs in ``reexport_transitions`` and refuses every other step; a test compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from stafett.domain.export_status import ExportErrorCode


class ReexportStatus(StrEnum):
    """The name of what is now being done, or of the end that was reached."""

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
"""From here on the new version is in the history: nothing undoes it."""

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
"""What a failure is called when nobody foresaw it; an export that failed says so itself."""
