"""A reporting period: what was asked for, and the instants it means."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from stafett.domain.frozen import FrozenModel

OSLO = ZoneInfo("Europe/Oslo")
EARLIEST_YEAR, LATEST_YEAR = 1900, 2199
_DATE_PATTERN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIMESTAMP_RESOLUTION = timedelta(microseconds=1)  # what PostgreSQL tells apart


def _parse_day_or_instant(value: object) -> date:
    """Text of the form of a day is a day; anything else has to be an instant with its offset."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if _DATE_PATTERN.fullmatch(value) else datetime.fromisoformat(value.upper())
    if not isinstance(value, date) or (isinstance(value, datetime) and value.tzinfo is None):
        raise ValueError("expected a date such as 2026-01-31, or an RFC 3339 time with its offset")
    try:
        meant = value.astimezone(UTC) if isinstance(value, datetime) else value
    except OverflowError:
        meant = date.min
    if not EARLIEST_YEAR <= meant.year <= LATEST_YEAR:
        raise ValueError(f"a period lies between the years {EARLIEST_YEAR} and {LATEST_YEAR}")
    return meant


DayOrInstant = Annotated[
    AwareDatetime | date,
    BeforeValidator(_parse_day_or_instant, json_schema_input_type=date | AwareDatetime),
    Field(description="A date is a whole day in Europe/Oslo; an RFC 3339 time is taken as given."),
]


def to_first_instant(start: datetime | date) -> datetime:
    """Of a day, its beginning in Europe/Oslo."""
    if isinstance(start, datetime):
        return start.astimezone(UTC)
    return datetime.combine(start, time.min, OSLO).astimezone(UTC)


def to_last_instant(end: datetime | date) -> datetime:
    """Of a day, the last instant before the next one begins in Europe/Oslo."""
    if isinstance(end, datetime):
        return end.astimezone(UTC)
    midnight_after = datetime.combine(end + timedelta(days=1), time.min, OSLO)
    return midnight_after.astimezone(UTC) - _TIMESTAMP_RESOLUTION


class ReportingPeriod(FrozenModel):
    """Both ends included. A day means all of it, as it passes in Europe/Oslo, 23 to 25 hours long."""

    start: DayOrInstant
    end: DayOrInstant

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.last_instant < self.first_instant:
            raise ValueError("the period ends before it starts")
        return self

    @property
    def first_instant(self) -> datetime:
        return to_first_instant(self.start)

    @property
    def last_instant(self) -> datetime:
        """The last instant that still belongs to the period."""
        return to_last_instant(self.end)

    @property
    def last_day(self) -> date:
        """The day in Europe/Oslo whose rules hold for the whole period, and that documents are dated by."""
        return self.last_instant.astimezone(OSLO).date()

    @property
    def first_day(self) -> date:
        return self.first_instant.astimezone(OSLO).date()
