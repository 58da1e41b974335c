"""The details of audit events in words."""

import re

from stafett.cli.client import Json
from stafett.cli.formats import format_time, format_words
from stafett.cli.lookup import is_whole_id
from stafett.cli.tables import MIN_SHORT_ID_LENGTH

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*([Zz]|[+-]\d\d:\d\d)$", re.ASCII)
_HASH_LENGTH, _SHORT_HASH_LENGTH = 64, 12


def format_details(event: Json) -> str:
    """Format the details of an event on one line, with short ids and hashes."""
    return ", ".join(f"{label} {_shorten(text)}" for label, text in list_details(event))


def list_details(event: Json) -> list[tuple[str, str]]:
    """List the details of an event in words; a correction has the names of the fields, and no values."""
    detail: Json = event["detail"]
    if event["event"] == "activity_corrected":
        return [("corrected", ", ".join(format_words(name) for name in sorted(detail)))]
    labels = {"day": "day in UTC"}  # beside times in Europe/Oslo
    return [(labels.get(name, format_words(name)), _format_value(value)) for name, value in sorted(detail.items())]


def _shorten(text: str) -> str:
    if is_whole_id(text):
        return text[:MIN_SHORT_ID_LENGTH]
    return text[:_SHORT_HASH_LENGTH] if len(text) == _HASH_LENGTH else text


def _format_value(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str() if _INSTANT.match(value):
            return format_time(value)
        case _:
            return str(value)
