"""Reporting periods: the dates or times of a request, and the instants that they include."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from stafett.domain.fields import explain_lost_plus
from stafett.domain.frozen import FrozenModel

OSLO = ZoneInfo("Europe/Oslo")
EARLIEST_YEAR, LATEST_YEAR = 1900, 2199
_DATE_PATTERN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LOCAL_DAY_FIRST = re.compile(
    r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4}) (?P<hour>\d{1,2}):(?P<minute>\d\d)", re.ASCII
)
_LOCAL_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d) (?P<hour>\d\d):(?P<minute>\d\d)(:00)?", re.ASCII
)
_TIMESTAMP_RESOLUTION = timedelta(microseconds=1)  # of PostgreSQL's timestamptz


def _parse_day_or_instant(value: object) -> date:
    """Parse text in the form of a date as a whole day, and any other text as a time with a UTC offset."""
    if isinstance(value, str):
        parse = date.fromisoformat if _DATE_PATTERN.fullmatch(value) else datetime.fromisoformat
        with suppress(ValueError):  # its message would quote the value
            value = parse(value.upper())
    if not isinstance(value, date) or (isinstance(value, datetime) and value.tzinfo is None):
        expected = "expected a date such as 2026-01-31, or an RFC 3339 time with its offset"
        raise ValueError(expected + explain_lost_plus(value))
    try:
        parsed = value.astimezone(UTC) if isinstance(value, datetime) else value
    except OverflowError:
        parsed = date.min  # the UTC time is out of range for Python, so the year is rejected below
    if not EARLIEST_YEAR <= parsed.year <= LATEST_YEAR:
        raise ValueError(f"the year must be between {EARLIEST_YEAR} and {LATEST_YEAR}")
    return parsed


DayOrInstant = Annotated[
    AwareDatetime | date,
    BeforeValidator(_parse_day_or_instant, json_schema_input_type=date | AwareDatetime),
    Field(description="A date, which means a whole day in Europe/Oslo, or an RFC 3339 time with its offset."),
]


def add_oslo_offset(value: str) -> str:
    """Interpret a local time as Europe/Oslo; return any other value, and a time that clocks skip, unchanged."""
    match = _LOCAL_DAY_FIRST.fullmatch(value) or _LOCAL_YEAR_FIRST.fullmatch(value)
    if match is None:
        return value
    year, month, day, hour, minute = (int(match[part]) for part in ("year", "month", "day", "hour", "minute"))
    try:
        instant = datetime(year, month, day, hour, minute, tzinfo=OSLO)
    except ValueError:
        return value
    is_skipped = instant.astimezone(UTC).astimezone(OSLO).replace(tzinfo=None) != instant.replace(tzinfo=None)
    return value if is_skipped else instant.isoformat()


def to_first_instant(start: datetime | date) -> datetime:
    """Convert to UTC. A date becomes its first instant in Europe/Oslo."""
    if isinstance(start, datetime):
        return start.astimezone(UTC)
    return datetime.combine(start, time.min, OSLO).astimezone(UTC)


def to_last_instant(end: datetime | date) -> datetime:
    """Convert to UTC. A date becomes its last instant in Europe/Oslo."""
    if isinstance(end, datetime):
        return end.astimezone(UTC)
    midnight_after = datetime.combine(end + timedelta(days=1), time.min, OSLO)
    return midnight_after.astimezone(UTC) - _TIMESTAMP_RESOLUTION


class ReportingPeriod(FrozenModel):
    """Reporting period with both ends included. A date is a whole day in Europe/Oslo, 23 to 25 hours long."""

    start: DayOrInstant = Field(
        description="Start of the period, included: a date in Europe/Oslo or an RFC 3339 time with its offset."
    )
    end: DayOrInstant = Field(
        description="End of the period, included: a date in Europe/Oslo or an RFC 3339 time with its offset."
    )

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
        """The last instant included in the period."""
        return to_last_instant(self.end)

    @property
    def last_day(self) -> date:
        """The last day in Europe/Oslo, which selects the mapping version and dates the documents."""
        return self.last_instant.astimezone(OSLO).date()

    @property
    def first_day(self) -> date:
        return self.first_instant.astimezone(OSLO).date()
