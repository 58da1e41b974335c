"""Why items of a batch are not registered, with what the pages need to explain and to correct it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from api.console.sessions import ActiveSession
from api.dependencies import Services
from stafett.bulk.overlaps import MentorTime, OverlappedActivity
from stafett.database.tables import BulkItem
from stafett.domain.activity_faults import ActivityFault, decode_faults
from stafett.domain.bulk import BulkRequest, PlannedItem

_MAX_SHOWN_LENGTH = 40
_HIDDEN_FIELDS = frozenset({"note"})


class ItemFault(NamedTuple):
    """A field that is not valid, and its value as the page shows it, or nothing."""

    fault: ActivityFault
    value: str


class ItemProblem(NamedTuple):
    """What is wrong with an item: its faults, and the registered activity that it overlaps."""

    number: int
    """The line of a file, or else the position in the batch, from 1."""
    is_line: bool
    faults: Sequence[ItemFault]
    overlapped: OverlappedActivity | None


Problems = Mapping[str, ItemProblem]
"""The problems of items by their references."""


def find_problems(
    services: Services,
    session: ActiveSession,
    items: Sequence[BulkItem | PlannedItem],
    activity: Mapping[str, Any],
    request: BulkRequest | None = None,
) -> Problems:
    """Find the problems of failed items, whose fields complete those of the shared activity."""
    values = [dict(activity) | item.overrides for item in items]
    times = [MentorTime.from_values(item.mentor_id, fields) for item, fields in zip(items, values, strict=True)]
    overlapped = services.activities.find_overlapped(session.caller, times)
    return {
        item.client_ref: _describe(item, fields, overlap, request)
        for item, fields, overlap in zip(items, values, overlapped, strict=True)
    }


def format_value(value: object) -> str:
    """Format a value of an item as a field of a form has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _describe(
    item: BulkItem | PlannedItem,
    values: Mapping[str, Any],
    overlapped: OverlappedActivity | None,
    request: BulkRequest | None,
) -> ItemProblem:
    line = request.locate_line(item.position) if request else None
    faults = [ItemFault(each, _shorten(each.field, values)) for each in decode_faults(item.validation_error or "[]")]
    return ItemProblem(item.position + 1 if line is None else line, line is not None, faults, overlapped)


def _shorten(field: str, values: Mapping[str, Any]) -> str:
    if field in _HIDDEN_FIELDS:
        return ""
    value = format_value(values.get(field))
    return f"{value[:_MAX_SHOWN_LENGTH]}…" if len(value) > _MAX_SHOWN_LENGTH else value
