"""The times of one year in Oslo at which activities can start."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from stafett.domain.reporting_period import OSLO

# There are at least two hours between two slots and a start is delayed by at most 30 minutes: 90 minutes always fit.
MAX_START_DELAY_MINUTES = 30
_WEEKDAY_TIMES = (time(9), time(11), time(13), time(17), time(19))
_WEEKEND_TIMES = {5: (time(11), time(13), time(17)), 6: (time(13), time(17))}
_JULY_TIMES = (time(11), time(17))
_CLOCK_CHANGE_TIME = time(1, 15)
_NEW_YEARS_EVE_TIME = time(22)
_JULY = 7


def slots_in_year(year: int) -> list[datetime]:
    """Return every slot of the year in order, in UTC."""
    return [
        datetime.combine(day, hour, OSLO).astimezone(UTC)
        for day in _days_in_year(year)
        for hour in sorted(_start_times_on(day))
    ]


def end_of_year(year: int) -> datetime:
    """Return the first instant after the year in Oslo."""
    return _midnight_after(date(year, 12, 31))


def _days_in_year(year: int) -> Iterator[date]:
    first = date(year, 1, 1)
    return (first + timedelta(days=n) for n in range((date(year, 12, 31) - first).days + 1))


def _start_times_on(day: date) -> tuple[time, ...]:
    hours = _regular_start_times_on(day)
    if _is_clock_change_day(day):
        hours += (_CLOCK_CHANGE_TIME,)
    if (day.month, day.day) == (12, 31):
        hours += (_NEW_YEARS_EVE_TIME,)
    return hours


def _regular_start_times_on(day: date) -> tuple[time, ...]:
    if day.weekday() in _WEEKEND_TIMES:
        return _WEEKEND_TIMES[day.weekday()]
    return _JULY_TIMES if day.month == _JULY else _WEEKDAY_TIMES


def _is_clock_change_day(day: date) -> bool:
    midnight = datetime.combine(day, time.min, OSLO)
    return midnight.utcoffset() != _midnight_after(day).astimezone(OSLO).utcoffset()


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, OSLO).astimezone(UTC)
