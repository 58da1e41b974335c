"""The registered activities that others would overlap."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from stafett.domain.activity import ActivityType
from stafett.domain.reporting_period import OSLO

# The index that keeps a mentor's activities from overlapping finds the one of each item.
_SELECT_OVERLAPPED = text("""
SELECT i.position - 1, a.id, a.activity_type, a.starts_at, a.ends_at
FROM unnest(CAST(:mentors AS uuid[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
    WITH ORDINALITY AS i (mentor_id, starts_at, ends_at, position)
CROSS JOIN LATERAL (
    SELECT id, activity_type, starts_at, ends_at FROM activities
    WHERE mentor_id = i.mentor_id AND tstzrange(starts_at, ends_at) && tstzrange(i.starts_at, i.ends_at)
        AND deleted_at IS NULL AND org_id = :org_id
    ORDER BY starts_at LIMIT 1
) a
""")


class MentorTime(NamedTuple):
    """The time at which a mentor would have an activity."""

    mentor_id: UUID
    starts_at: datetime
    ends_at: datetime

    @classmethod
    def from_values(cls, mentor_id: UUID | None, values: dict[str, Any]) -> "MentorTime | None":
        """Read the time of an activity, unless it is not valid."""
        try:
            start, duration = datetime.fromisoformat(values["starts_at"]), timedelta(minutes=values["duration_minutes"])
            return cls(mentor_id, start, start + duration) if mentor_id and start.tzinfo else None
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


class OverlappedActivity(NamedTuple):
    """An activity that is registered at that time."""

    id: UUID
    activity_type: ActivityType
    starts_at: datetime
    ends_at: datetime

    @property
    def is_on_one_day(self) -> bool:
        return self.starts_at.astimezone(OSLO).date() == self.ends_at.astimezone(OSLO).date()


def find_overlapped(
    session: Session, org_id: str, times: Sequence[MentorTime | None]
) -> list[OverlappedActivity | None]:
    """Find the first activity that each time overlaps, or None."""
    found: list[OverlappedActivity | None] = [None] * len(times)
    known = [(position, time) for position, time in enumerate(times) if time]
    if known:
        columns = {name: [str(getattr(time, field)) for _, time in known] for name, field in _COLUMNS}
        for index, activity_id, activity_type, starts_at, ends_at in session.execute(
            _SELECT_OVERLAPPED, {"org_id": org_id, **columns}
        ):
            position = known[index][0]
            found[position] = OverlappedActivity(activity_id, ActivityType(activity_type), starts_at, ends_at)
    return found


_COLUMNS = (("mentors", "mentor_id"), ("starts", "starts_at"), ("ends", "ends_at"))
