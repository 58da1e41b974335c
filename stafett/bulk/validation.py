"""Predicts the outcomes of a batch's items in one read-only query, by the rules of `stafett/bulk/items.py`."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from stafett.domain.activity import SEVERAL_MENTORS_AT_ONE_EVENT
from stafett.domain.bulk import BatchWarning, BulkRequest, PlannedItem
from stafett.domain.bulk_status import ItemErrorCode
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
_SHARED_EVENTS_MESSAGE = (
    "{rows} of the activities are at events with several peer mentors ({events})."
    " The organisation's column mapping decides whether each of them counts."
)
_MAX_DURATION = timedelta(minutes=MAX_DURATION_MINUTES)


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
    session.execute(text("SET TRANSACTION READ ONLY"))
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


def warn_of_shared_events(items: Iterable[PlannedItem]) -> Iterator[BatchWarning]:
    """Warn if several of the items that would be registered are for the same event on the same day."""
    rows_by_event = Counter(
        (item.event, datetime.fromisoformat(item.starts_at).astimezone(OSLO).date())
        for item in items
        if item.event and item.starts_at
    )
    shared = [rows for rows in rows_by_event.values() if rows > 1]
    if shared:
        message = _SHARED_EVENTS_MESSAGE.format(rows=sum(shared), events=len(shared))
        yield BatchWarning(code=SEVERAL_MENTORS_AT_ONE_EVENT, message=message, rows=sum(shared), events=len(shared))


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
