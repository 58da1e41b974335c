"""Texts of the command line: short periods, times in Europe/Oslo, sizes and coloured statuses."""

import calendar
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from rich.text import Text

from stafett.domain.reporting_period import OSLO

Json = dict[str, Any]
_TO = "\N{EN DASH}"
_DAY, _MINUTE = "%d.%m.%Y", "%d.%m.%Y %H:%M"
_STYLE_BY_STATUS: Mapping[str, str] = {
    "completed": "green",
    "completed_empty": "green",
    "completed_with_failures": "yellow",
    "cancelling": "yellow",
    "cancelled": "yellow",
    "failed": "red",
    "registered": "green",
    "delivered": "green",
    "given_up": "red",
    "active": "green",
    "disabled": "red",
}
_STYLE_OF_RUNNING = "cyan"


def format_status(status: str) -> Text:
    """Colour a status by its outcome: green for a success, red for a failure, cyan while the job runs."""
    return Text(status, style=_STYLE_BY_STATUS.get(status, _STYLE_OF_RUNNING))


def format_time(value: str | None) -> str:
    """Format an RFC 3339 time in Europe/Oslo, to the minute."""
    return f"{datetime.fromisoformat(value).astimezone(OSLO):{_MINUTE}}" if value else ""


def format_day(value: str) -> str:
    return f"{date.fromisoformat(value):{_DAY}}"


def format_period(resource: Json) -> str:
    """Format the reporting period as briefly as it can be read: a year, a month, a day or two days."""
    start, end = (str(resource["reporting_period"][name]) for name in ("start", "end"))
    if "T" in start or "T" in end:
        return f"{_format_bound(start)}{_TO}{_format_bound(end)}"
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    if first == last:
        return f"{first:{_DAY}}"
    if first.day == 1 and last == _last_day_of_month(last):
        if (first.year, first.month, last.month) == (last.year, 1, 12):
            return str(first.year)
        if (first.year, first.month) == (last.year, last.month):
            return f"{first:%m.%Y}"
    return f"{first:{'%d.%m' if first.year == last.year else _DAY}}{_TO}{last:{_DAY}}"


def format_size(size_bytes: int) -> str:
    """Format a size in the unit that a file manager shows."""
    if size_bytes < 1000:  # noqa: PLR2004 - the SI prefix
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:  # noqa: PLR2004 - the SI prefix
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def format_words(identifier: str) -> str:
    """Format an identifier such as `same_snapshot` as words."""
    return identifier.replace("_", " ")


def _format_bound(value: str) -> str:
    return format_time(value) if "T" in value else f"{date.fromisoformat(value):{_DAY}}"


def _last_day_of_month(day: date) -> date:
    return day.replace(day=1) + timedelta(days=calendar.monthrange(day.year, day.month)[1] - 1)
