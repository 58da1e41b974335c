"""Days and times as users write them in a field, such as 31.01.2026, and as pages show them there."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import BeforeValidator, NaiveDatetime
from pydantic_core import PydanticCustomError

from stafett.domain.reporting_period import OSLO

_DAY = r"(?:(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4})|(?P<iso>\d{4}-\d\d-\d\d))"
_TIME = r"(?P<hour>\d{1,2})[.:](?P<minute>\d\d)(?::(?P<second>\d\d))?"
_DAY_PATTERN = re.compile(_DAY, re.ASCII)
_TIME_PATTERN = re.compile(rf"{_DAY}(?:T|,? ?kl\.? ?|,? ){_TIME}", re.ASCII)

_WRITTEN_DAY = "%d.%m.%Y"


def _parse_day(value: object) -> date:
    """Parse a day as a user writes it: 31.01.2026, 31.1.2026 or 2026-01-31."""
    match = _DAY_PATTERN.fullmatch(str(value).strip())
    with suppress(ValueError):  # a day that does not exist
        if match:
            return _to_day(match)
    raise PydanticCustomError("date_parsing", "The field is not a day.")


def _parse_time(value: object) -> datetime:
    """Parse a day and a time as a user writes them: 31.01.2026 10:00, 31.1.2026 kl. 10.00 or 2026-01-31T10:00."""
    match = _TIME_PATTERN.fullmatch(str(value).strip())
    with suppress(ValueError):
        if match:
            clock = time(int(match["hour"]), int(match["minute"]), int(match["second"] or 0))
            return datetime.combine(_to_day(match), clock)
    raise PydanticCustomError("datetime_parsing", "The field is not a day and a time.")


def _to_day(match: re.Match[str]) -> date:
    if match["iso"]:
        return date.fromisoformat(match["iso"])
    return date(int(match["year"]), int(match["month"]), int(match["day"]))


WrittenDay = Annotated[date, BeforeValidator(_parse_day)]
"""A day as a user writes it."""

WrittenTime = Annotated[NaiveDatetime, BeforeValidator(_parse_time)]
"""A day and a time in Oslo as a user writes them."""


def require_existing_time(value: datetime) -> datetime:
    """Reject a time that clocks in Oslo skip when summer time begins."""
    instant = value.replace(tzinfo=OSLO)
    if instant.astimezone(UTC).astimezone(OSLO).replace(tzinfo=None) != value:
        raise PydanticCustomError("time_skipped", "Clocks in Oslo skip this time.")
    return value


def write_day(text: str) -> str:
    """Write the ISO form of a day, or of a day and a time, as users do; leave any other text unchanged."""
    with suppress(ValueError):
        if _DAY_PATTERN.fullmatch(text):
            return f"{date.fromisoformat(text):{_WRITTEN_DAY}}"
        if _TIME_PATTERN.fullmatch(text):
            instant = datetime.fromisoformat(text)
            return f"{instant:{_WRITTEN_DAY} %H:%M}" + (f"{instant::%S}" if instant.second else "")
    return text
