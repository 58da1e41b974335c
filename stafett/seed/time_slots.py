"""When a peer mentor can be busy: the hours of one Oslo year that activities begin in."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from stafett.domain.reporting_period import OSLO

# Hours are two apart at least and a start is late by half an hour at most: 90 minutes always fit.
LATEST_START_MINUTES = 30
_WEEKDAY = (time(9), time(11), time(13), time(17), time(19))
_WEEKEND = {5: (time(11), time(13), time(17)), 6: (time(13), time(17))}
_COMMON_HOLIDAY = (time(11), time(17))
_NIGHT_OF_THE_CHANGE = time(1, 15)
_LATE_ON_NEW_YEARS_EVE = time(22)
_JULY = 7


def slots_of(year: int) -> list[datetime]:
    """Every slot of the year in order, as instants in UTC."""
    return [
        datetime.combine(day, hour, OSLO).astimezone(UTC) for day in _days_of(year) for hour in sorted(_hours_of(day))
    ]


def end_of(year: int) -> datetime:
    """The first instant that is no longer in the Oslo year."""
    return _midnight_after(date(year, 12, 31))


def _days_of(year: int) -> Iterator[date]:
    first = date(year, 1, 1)
    return (first + timedelta(days=n) for n in range((date(year, 12, 31) - first).days + 1))


def _hours_of(day: date) -> tuple[time, ...]:
    hours = _usual_hours_of(day)
    if _clocks_change_on(day):
        hours += (_NIGHT_OF_THE_CHANGE,)
    if (day.month, day.day) == (12, 31):
        hours += (_LATE_ON_NEW_YEARS_EVE,)
    return hours


def _usual_hours_of(day: date) -> tuple[time, ...]:
    if day.weekday() in _WEEKEND:
        return _WEEKEND[day.weekday()]
    return _COMMON_HOLIDAY if day.month == _JULY else _WEEKDAY


def _clocks_change_on(day: date) -> bool:
    midnight = datetime.combine(day, time.min, OSLO)
    return midnight.utcoffset() != _midnight_after(day).astimezone(OSLO).utcoffset()


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, OSLO).astimezone(UTC)
