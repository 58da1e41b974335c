"""A day as people write it."""

import re
from contextlib import suppress
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator

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
