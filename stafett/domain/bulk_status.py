"""Where a batch and each of its items can be, and how they get from one place to the next.

The database holds the same pairs in ``bulk_transitions`` and refuses every other step; a test compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class BulkStatus(StrEnum):
    """How far a batch has come."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in BULK_FINAL_STATUSES


BULK_FINAL_STATUSES = frozenset(
    {BulkStatus.COMPLETED, BulkStatus.COMPLETED_WITH_FAILURES, BulkStatus.FAILED, BulkStatus.CANCELLED}
)

BULK_TRANSITIONS: Mapping[BulkStatus, frozenset[BulkStatus]] = MappingProxyType(
    {
        BulkStatus.ACCEPTED: frozenset({BulkStatus.RUNNING, BulkStatus.FAILED, BulkStatus.CANCELLING}),
        BulkStatus.RUNNING: (BULK_FINAL_STATUSES - {BulkStatus.CANCELLED}) | {BulkStatus.CANCELLING},
        BulkStatus.CANCELLING: frozenset({BulkStatus.CANCELLED, BulkStatus.FAILED}),
        BulkStatus.COMPLETED: frozenset(),
        BulkStatus.COMPLETED_WITH_FAILURES: frozenset({BulkStatus.ACCEPTED}),
        BulkStatus.FAILED: frozenset({BulkStatus.ACCEPTED}),
        BulkStatus.CANCELLED: frozenset({BulkStatus.ACCEPTED}),
    }
)


class ItemStatus(StrEnum):
    """``registered`` is for good; what failed or was cancelled is pending again when somebody tries it again."""

    PENDING = "pending"
    REGISTERED = "registered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemErrorCode(StrEnum):
    """Why an item was not registered: stable, and what client programs decide by."""

    MENTOR_NOT_FOUND = "mentor_not_found"
    MENTOR_INACTIVE = "mentor_inactive"
    OVERLAPPING_ACTIVITY = "overlapping_activity"
    INVALID_ACTIVITY = "invalid_activity"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"

    @property
    def is_retryable(self) -> bool:
        """Whether asking again helps though nothing was corrected."""
        return self is ItemErrorCode.TEMPORARILY_UNAVAILABLE


ITEM_ERROR_MESSAGES: Mapping[ItemErrorCode, str] = MappingProxyType(
    {
        ItemErrorCode.MENTOR_NOT_FOUND: "The organisation has no such peer mentor.",
        ItemErrorCode.MENTOR_INACTIVE: "The peer mentor is not active.",
        ItemErrorCode.OVERLAPPING_ACTIVITY: "The peer mentor has another activity at that time.",
        ItemErrorCode.INVALID_ACTIVITY: "The activity cannot be registered as it is.",
        ItemErrorCode.TEMPORARILY_UNAVAILABLE: "The activity could not be registered just now; it can be tried again.",
    }
)
