"""Predicts the outcomes of a batch's items in one read-only query, by the rules of `stafett/bulk/items.py`."""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from stafett.bulk.item_messages import describe_fault
from stafett.domain.activity import SEVERAL_MENTORS_AT_ONE_EVENT
from stafett.domain.activity_faults import decode_faults
from stafett.domain.bulk import BatchWarning, BulkRequest, PlannedItem, WarningCode
from stafett.domain.bulk_status import ITEM_ERROR_MESSAGES, ItemErrorCode
from stafett.domain.errors import RequestIssue
from stafett.domain.export import Locale
from stafett.domain.proxy_activity import MAX_DURATION_MINUTES
from stafett.domain.reporting_period import OSLO

# One sort instead of joins, so that no plan compares every item with every activity, whatever the statistics are. A
# mentor's activities do not overlap each other: an item overlaps one of them if and only if the last one that starts
# before the item's end is not over at the item's start.
_SELECT_FACTS = text("""
WITH facts AS (
    SELECT mentor_id, ends_at AS at, position, starts_at,
           CAST(NULL AS timestamptz) AS activity_end, CAST(NULL AS boolean) AS active
    FROM unnest(CAST(:mentors AS uuid[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
        WITH ORDINALITY AS i (mentor_id, starts_at, ends_at, position)
    UNION ALL
    SELECT mentor_id, starts_at, NULL, NULL, ends_at, NULL
    FROM activities
    WHERE org_id = :org AND deleted_at IS NULL AND starts_at > CAST(:after AS timestamptz)
      AND starts_at < CAST(:before AS timestamptz)
      AND mentor_id = ANY (CAST(:mentors AS uuid[]))
    UNION ALL
    SELECT id, '-infinity', NULL, NULL, NULL, active
    FROM peer_mentors
    WHERE org_id = :org AND id = ANY (CAST(:mentors AS uuid[]))
), items AS (
    SELECT position, starts_at, bool_or(active) OVER earlier AS active, max(activity_end) OVER earlier AS last_end
    FROM facts
    WINDOW earlier AS (PARTITION BY mentor_id ORDER BY at, position IS NULL)
)
SELECT active, coalesce(last_end > starts_at, false) FROM items WHERE position IS NOT NULL ORDER BY position
""")
_WARNING_MESSAGES: Mapping[WarningCode, Mapping[Locale, str]] = {
    "several_mentors_at_one_event": {
        "nb": "{rows} av aktivitetene er på arrangementer med flere likepersoner ({events})."
        " Organisasjonens kolonneoppsett avgjør om hver av dem teller.",
        "nn": "{rows} av aktivitetane er på arrangement med fleire likepersonar ({events})."
        " Kolonneoppsettet til organisasjonen avgjer om kvar av dei tel.",
        "en": "{rows} of the activities are at events with several peer mentors ({events})."
        " The organisation's column mapping decides whether each of them counts.",
    },
    "starts_in_future": {
        "nb": "{rows} av aktivitetene starter fram i tid. Kontroller årstallet.",
        "nn": "{rows} av aktivitetane startar fram i tid. Kontroller årstalet.",
        "en": "{rows} of the activities start in the future. Check the year.",
    },
}
_NUMBER = re.compile(r"\d+", re.ASCII)
_MAX_DURATION = timedelta(minutes=MAX_DURATION_MINUTES)


class WarningCounts(NamedTuple):
    """A warning about a batch, as it is stored: its code and its numbers."""

    code: WarningCode
    rows: int
    events: int | None = None


class ActivityTime(NamedTuple):
    """Start and end of an activity."""

    starts_at: datetime
    ends_at: datetime


class _RegisteredTimes:
    """The times of one mentor's activities that the batch would register so far; they never overlap."""

    def __init__(self) -> None:
        self._starts: list[datetime] = []
        self._ends: list[datetime] = []

    def add_unless_overlapping(self, time: ActivityTime) -> bool:
        index = bisect_left(self._starts, time.starts_at)
        overlaps_previous = index > 0 and self._ends[index - 1] > time.starts_at
        overlaps_next = index < len(self._starts) and self._starts[index] < time.ends_at
        if overlaps_previous or overlaps_next:
            return False
        self._starts.insert(index, time.starts_at)
        self._ends.insert(index, time.ends_at)
        return True


def predict_error_codes(
    session: Session, request: BulkRequest, items: Sequence[PlannedItem]
) -> list[ItemErrorCode | None]:
    """Return each item's error code, or None if the item would be registered; write nothing and lock nothing."""
    times = _compute_times(request, items)
    params = {
        "org": request.org_id,
        "mentors": _format_array(item.mentor_ref if item.mentor_id else None for item in items),
        "starts": _format_array(time and time.starts_at.isoformat() for time in times),
        "ends": _format_array(time and time.ends_at.isoformat() for time in times),
        "after": min((time.starts_at - _MAX_DURATION for time in times if time), default=None),
        "before": max((time.ends_at for time in times if time), default=None),
    }
    facts = session.execute(_SELECT_FACTS, params).all()
    codes = [_error_code_for(item, *fact) for item, fact in zip(items, facts, strict=True)]
    registered = defaultdict[UUID | None, _RegisteredTimes](_RegisteredTimes)
    for index, time in _order_of_registration(items, times):
        if codes[index] is None and not registered[items[index].mentor_id].add_unless_overlapping(time):
            codes[index] = ItemErrorCode.OVERLAPPING_ACTIVITY
    return codes


def find_item_issues(
    request: BulkRequest,
    items: Sequence[PlannedItem],
    codes: Sequence[ItemErrorCode | None],
    duplicates: Container[int],
) -> Iterator[RequestIssue]:
    """List why items of a refused batch would not be registered; of a duplicate, only what its original has not."""
    mentor_errors = set[tuple[str, ItemErrorCode]]()
    for item, code in zip(items, codes, strict=True):
        is_duplicate = item.position in duplicates
        match code:
            case None:
                continue
            case ItemErrorCode.INVALID_ACTIVITY:
                for fault in decode_faults(item.validation_error or "[]"):
                    pointer, detail = request.locate(item.position, fault.field), describe_fault(fault, "en")
                    yield RequestIssue(pointer, fault.code, detail, fault.limit)
            case ItemErrorCode.OVERLAPPING_ACTIVITY:
                if not is_duplicate:
                    yield RequestIssue(request.locate(item.position, "starts_at"), code, ITEM_ERROR_MESSAGES[code])
            case _:
                if not is_duplicate or (item.mentor_ref, code) not in mentor_errors:
                    yield RequestIssue(request.locate(item.position, "mentor_id"), code, ITEM_ERROR_MESSAGES[code])
                mentor_errors.add((item.mentor_ref, code))


def sort_issues(issues: Iterable[RequestIssue]) -> list[RequestIssue]:
    """Sort issues by the line of the file or the position of the item that they are about."""
    return sorted(issues, key=lambda issue: int(next(iter(_NUMBER.findall(issue.pointer)), 0)))


def predict_warnings(
    session: Session, request: BulkRequest, items: Sequence[PlannedItem], now: datetime
) -> list[WarningCounts]:
    """Predict the warnings of a batch; without any about all of its items, no outcomes need to be predicted."""
    if not any(_find_warnings(items, now)):
        return []
    return find_warnings(items, predict_error_codes(session, request, items), now)


def find_warnings(
    items: Sequence[PlannedItem], codes: Sequence[ItemErrorCode | None], now: datetime
) -> list[WarningCounts]:
    """Find what to consider about the items that would be registered, which have no error code."""
    return list(_find_warnings([item for item, code in zip(items, codes, strict=True) if code is None], now))


def _find_warnings(items: Sequence[PlannedItem], now: datetime) -> Iterator[WarningCounts]:
    yield from _find_shared_events(items)
    future = sum(bool(item.starts_at) and datetime.fromisoformat(str(item.starts_at)) > now for item in items)
    if future:
        yield WarningCounts("starts_in_future", future)


def describe_warning(warning: WarningCounts, locale: Locale) -> BatchWarning:
    message = _WARNING_MESSAGES[warning.code][locale].format(rows=warning.rows, events=warning.events)
    return BatchWarning(code=warning.code, message=message, rows=warning.rows, events=warning.events)


def _find_shared_events(items: Iterable[PlannedItem]) -> Iterator[WarningCounts]:
    """Warn if several of the items are for the same event on the same day."""
    rows_by_event = Counter(
        (item.event, datetime.fromisoformat(item.starts_at).astimezone(OSLO).date())
        for item in items
        if item.event and item.starts_at
    )
    shared = [rows for rows in rows_by_event.values() if rows > 1]
    if shared:
        yield WarningCounts(SEVERAL_MENTORS_AT_ONE_EVENT, sum(shared), len(shared))


def _compute_times(request: BulkRequest, items: Sequence[PlannedItem]) -> list[ActivityTime | None]:
    """Return the time of each item's activity, or None if the activity is not valid."""
    shared_minutes = request.activity.provided.get("duration_minutes")

    @cache  # most items of a batch have the same time
    def compute_time(starts_at: str, minutes: int) -> ActivityTime:
        start = datetime.fromisoformat(starts_at)
        return ActivityTime(start, start + timedelta(minutes=minutes))

    return [
        compute_time(item.starts_at, item.overrides.get("duration_minutes", shared_minutes)) if item.starts_at else None
        for item in items
    ]


def _format_array(values: Iterable[str | None]) -> str:
    """Format an array of ids or times for PostgreSQL, much faster than psycopg does: such values need no quotes."""
    return f"{{{','.join(value or 'NULL' for value in values)}}}"


def _error_code_for(item: PlannedItem, is_active: bool | None, overlaps: bool) -> ItemErrorCode | None:  # noqa: FBT001 - columns of a row
    if is_active is None:
        return ItemErrorCode.MENTOR_NOT_FOUND
    if not is_active:
        return ItemErrorCode.MENTOR_INACTIVE
    if item.validation_error is not None:
        return ItemErrorCode.INVALID_ACTIVITY
    return ItemErrorCode.OVERLAPPING_ACTIVITY if overlaps else None


def _order_of_registration(
    items: Sequence[PlannedItem], times: Sequence[ActivityTime | None]
) -> Iterator[tuple[int, ActivityTime]]:
    """Iterate over the valid items in the order in which a batch inserts a mentor's activities."""
    valid = [(index, time) for index, time in enumerate(times) if time is not None]
    yield from sorted(valid, key=lambda entry: (items[entry[0]].chunk, entry[1].starts_at, entry[0]))
