"""A reporting period: what was asked for, and the instants it means."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from stafett.domain.frozen import Frozen

OSLO = ZoneInfo("Europe/Oslo")
EARLIEST, LATEST = 1900, 2199
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SMALLEST_STEP = timedelta(microseconds=1)  # what PostgreSQL tells apart


def _day_or_instant(given: object) -> date:
    """Text of the form of a day is a day; anything else has to be an instant with its offset."""
    if isinstance(given, str):
        given = date.fromisoformat(given) if _DAY.fullmatch(given) else datetime.fromisoformat(given.upper())
    if not isinstance(given, date) or (isinstance(given, datetime) and given.tzinfo is None):
        raise ValueError("expected a date such as 2026-01-31, or an RFC 3339 time with its offset")
    try:
        meant = given.astimezone(UTC) if isinstance(given, datetime) else given
    except OverflowError:
        meant = date.min
    if not EARLIEST <= meant.year <= LATEST:
        raise ValueError(f"a period lies between the years {EARLIEST} and {LATEST}")
    return meant


DayOrInstant = Annotated[
    AwareDatetime | date,
    BeforeValidator(_day_or_instant, json_schema_input_type=date | AwareDatetime),
    Field(description="A date is a whole day in Europe/Oslo; an RFC 3339 time is taken as given."),
]


def first_instant(start: datetime | date) -> datetime:
    """Of a day, its beginning in Europe/Oslo."""
    if isinstance(start, datetime):
        return start.astimezone(UTC)
    return datetime.combine(start, time.min, OSLO).astimezone(UTC)


def last_instant(end: datetime | date) -> datetime:
    """Of a day, the last instant before the next one begins in Europe/Oslo."""
    if isinstance(end, datetime):
        return end.astimezone(UTC)
    midnight_after = datetime.combine(end + timedelta(days=1), time.min, OSLO)
    return midnight_after.astimezone(UTC) - _SMALLEST_STEP


class ReportingPeriod(Frozen):
    """Both ends included. A day means all of it, as it passes in Europe/Oslo, 23 to 25 hours long."""

    start: DayOrInstant
    end: DayOrInstant

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last_instant < self.first_instant:
            raise ValueError("the period ends before it starts")
        return self

    @property
    def first_instant(self) -> datetime:
        return first_instant(self.start)

    @property
    def last_instant(self) -> datetime:
        """The last instant that still belongs to the period."""
        return last_instant(self.end)

    @property
    def last_day(self) -> date:
        """The day in Europe/Oslo whose rules hold for the whole period, and that documents are dated by."""
        return self.last_instant.astimezone(OSLO).date()

    @property
    def first_day(self) -> date:
        return self.first_instant.astimezone(OSLO).date()
