"""What is wrong with the fields of an activity: codes and limits, from which its message is made in any language."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

_LIMITS = ("ge", "le", "max_length", "min_length")
_TYPES_OF_A_VALUE = frozenset({"int_type", "bool_type", "string_type", "enum", "value_error"})

CODES_OF_OUR_RULES = {
    "starts_at": "time_invalid",
    "event_id": "event_id_invalid",
    "new_participants": "more_new_participants",
}


class ActivityFault(NamedTuple):
    """A field that is not valid. The code is Pydantic's, or one of ours if a rule of ours decides."""

    field: str
    code: str
    limit: int | str = ""
    """The limit that the value exceeds, if there is one."""


def list_faults(error: ValidationError) -> Iterator[ActivityFault]:
    """List the faults without any value; a value that is null is missing."""
    for details in error.errors(include_url=False):
        field = str(details["loc"][0]) if details["loc"] else "new_participants"
        yield ActivityFault(field, _read_code(details, field), read_limit(details))


def read_limit(details: Mapping[str, Any]) -> int | str:
    """Return the limit in a Pydantic error; no other part of its context is used, because it may quote the value."""
    context = details.get("ctx") or {}
    return next((context[name] for name in _LIMITS if isinstance(context.get(name), int)), "")


def encode_faults(error: ValidationError) -> str:
    return json.dumps(list(list_faults(error)), separators=(",", ":"))


def decode_faults(text: str) -> list[ActivityFault]:
    return [ActivityFault(*fault) for fault in json.loads(text)]


def _read_code(details: Mapping[str, Any], field: str) -> str:
    if details["loc"] and details["input"] is None and details["type"] in _TYPES_OF_A_VALUE:
        return "missing"
    if details["type"] == "enum" and isinstance(details["input"], str) and not details["input"].strip():
        return "missing"  # an empty cell of a file
    code = str(details["type"])
    return CODES_OF_OUR_RULES.get(field, code) if code == "value_error" else code
