"""Pydantic field types: instants, days, names and text that PostgreSQL can store."""

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

_RFC_3339_PATTERN = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)

_OFFSET_AFTER_SPACE = re.compile(r":\d\d(\.\d+)? \d\d:\d\d$", re.ASCII)


def _require_rfc_3339(value: object) -> object:
    """Reject anything but RFC 3339 text. Pydantic would also accept a number of seconds."""
    if value is None or isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339_PATTERN.fullmatch(value)):
        return value
    raise ValueError(
        f"Expected an RFC 3339 time with its offset, such as 2026-01-31T12:00:00Z{explain_lost_plus(value)}"
    )


def explain_lost_plus(value: object) -> str:
    """Explain a space before the digits of an offset: in a URL, a `+` is one. Any other value needs no explanation."""
    is_lost = isinstance(value, str) and _OFFSET_AFTER_SPACE.search(value)
    return "; in a URL, write the + of an offset as %2B" if is_lost else ""


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

ID_PREFIX_PATTERN = "[0-9a-fA-F]{8}(-?[0-9a-fA-F]){0,24}-?"
_HYPHENS_BEFORE = (8, 12, 16, 20)


def _parse_id_prefix(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(ID_PREFIX_PATTERN, value):
        return value.replace("-", "").lower()
    raise PydanticCustomError(
        "string_pattern_mismatch",
        "Expected the first 8 or more hexadecimal digits of an id, with or without hyphens, such as 5e4d7a34-95a4",
    )


IdPrefix = Annotated[str, StringConstraints(pattern=f"^{ID_PREFIX_PATTERN}$"), BeforeValidator(_parse_id_prefix)]
"""The first hexadecimal digits of a UUID, which may be sent with hyphens."""


def hyphenate_id_prefix(digits: str) -> str:
    """Format the first digits of a UUID as its text has them."""
    return "".join(f"-{digit}" if index in _HYPHENS_BEFORE else digit for index, digit in enumerate(digits))


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
