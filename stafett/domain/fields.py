"""Pydantic field types: instants, days and text that PostgreSQL can store."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def _written_as_a_moment(given: object) -> object:
    """Pydantic would take a number of seconds for a moment too."""
    if given is None or isinstance(given, datetime) or (isinstance(given, str) and _RFC_3339.fullmatch(given)):
        return given
    raise ValueError("Expected an RFC 3339 time with its offset, such as 2026-01-31T12:00:00Z")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies beyond the years that there are in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(_written_as_a_moment)]
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _written_as_a_day(given: object) -> object:
    """Pydantic would take a number of seconds for a day too."""
    if isinstance(given, str) and _DAY.fullmatch(given):
        with suppress(ValueError):
            return date.fromisoformat(given)
    if given is None or isinstance(given, date):
        return given
    raise ValueError("Expected a date such as 2026-01-31")


Day = Annotated[date, BeforeValidator(_written_as_a_day)]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("text holds no NUL character")
    return text


NO_NUL = AfterValidator(_without_nul)
"""Behind the constraints of a text, so that those are told, and shown in the schema, as what they are: of a text."""
