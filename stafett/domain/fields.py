"""Pydantic field types: instants, days, names and text that PostgreSQL can store."""

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints

_RFC_3339_PATTERN = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def _require_rfc_3339(value: object) -> object:
    """Reject anything but RFC 3339 text. Pydantic would also accept a number of seconds."""
    if value is None or isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339_PATTERN.fullmatch(value)):
        return value
    raise ValueError("Expected an RFC 3339 time with its offset, such as 2026-01-31T12:00:00Z")


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range in UTC") from None


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc), BeforeValidator(_require_rfc_3339)]
_ISO_DATE_PATTERN = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _parse_iso_date(value: object) -> object:
    """Parse a date. Pydantic would also accept a number of seconds."""
    if isinstance(value, str) and _ISO_DATE_PATTERN.fullmatch(value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    if value is None or isinstance(value, date):
        return value
    raise ValueError("Expected a date such as 2026-01-31")


IsoDate = Annotated[date, BeforeValidator(_parse_iso_date)]

IdPrefix = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,32}$")]
"""The first hexadecimal digits of a UUID, without hyphens."""


def bound_id_prefix(prefix: str) -> tuple[UUID, UUID]:
    """Return the first and the last UUID that start with these digits."""
    return UUID(prefix.ljust(32, "0")), UUID(prefix.ljust(32, "f"))


def _reject_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("text must not contain NUL characters")
    return text


NO_NUL = AfterValidator(_reject_nul)
"""Validator to put after a text's constraints, so that their errors and their JSON schema remain those of a text."""


_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Zs"})
_REJECTED_CATEGORIES = frozenset({"Cc", "Cn", "Co", "Zl", "Zp"})
_DIRECTION_CHANGES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _reject_control_characters(text: str) -> str:
    categories = [unicodedata.category(character) for character in text]
    if not _REJECTED_CATEGORIES.isdisjoint(categories) or not _DIRECTION_CHANGES.isdisjoint(text):
        raise ValueError("text must be one line without control characters")
    if text and _INVISIBLE_CATEGORIES.issuperset(categories):
        raise ValueError("text must have a visible character")
    return text


ONE_LINE = AfterValidator(_reject_control_characters)
"""Validator for text that is in tables and in the headers of emails: no reader may see other text than was written."""

DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), ONE_LINE]


def read_message(error: Mapping[str, Any]) -> str:
    """Return the message of a Pydantic error, without the exception that a validator of ours raised."""
    return str(error["msg"]).removeprefix("Value error, ")
