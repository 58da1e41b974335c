"""Statuses of a bulk registration and of its items, with the allowed transitions.

The database enforces the same transitions with the table ``bulk_transitions``; a test compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class BulkStatus(StrEnum):
    """Status of a bulk registration."""

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
    """Status of an item. ``registered`` is final; a retry of the batch resets the other outcomes to ``pending``."""

    PENDING = "pending"
    REGISTERED = "registered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemErrorCode(StrEnum):
    """Stable code for the reason why an item was not registered."""

    MENTOR_NOT_FOUND = "mentor_not_found"
    MENTOR_INACTIVE = "mentor_inactive"
    OVERLAPPING_ACTIVITY = "overlapping_activity"
    INVALID_ACTIVITY = "invalid_activity"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"

    @property
    def is_retryable(self) -> bool:
        """True if a retry can succeed without a correction of the item."""
        return self is ItemErrorCode.TEMPORARILY_UNAVAILABLE


ITEM_ERROR_MESSAGES: Mapping[ItemErrorCode, str] = MappingProxyType(
    {
        ItemErrorCode.MENTOR_NOT_FOUND: "The organisation has no such peer mentor.",
        ItemErrorCode.MENTOR_INACTIVE: "The peer mentor is not active.",
        ItemErrorCode.OVERLAPPING_ACTIVITY: "The peer mentor has another activity at that time.",
        ItemErrorCode.INVALID_ACTIVITY: "The activity is not valid.",
        ItemErrorCode.TEMPORARILY_UNAVAILABLE: "A required service was unavailable. Retry the batch.",
    }
)
