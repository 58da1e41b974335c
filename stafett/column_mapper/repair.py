"""Puts something sound where a document has not even the right form, so that the rest of it can be looked at too."""

import copy
import json
from typing import Any

from pydantic import ValidationError

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import document_path, independent_errors

_ROUNDS = 6
_OF_A_NAME = "[key]"  # how Pydantic says that a name is wrong and not what it stands for
_WORDS = {"nb": "-", "nn": "-", "en": "-"}
_SOUND: dict[str, Any] = {
    "format": 1,
    "title": "-",
    "effective_from": "2000-01-01",
    "counting": {"reasons": []},
    "reasons": [],
    "severity": "warning",
    "count": "rows",
    "options": "malformed",
    "columns": [{"id": "malformed", "header": _WORDS, "type": "text", "value": None}],
    "message": _WORDS,
    "label": _WORDS,
    "when": False,
    "value": None,
    **_WORDS,
}


def mended(given: Any) -> MappingDocument | None:
    """The document without its malformed parts; none if there is too little left of it."""
    if not isinstance(given, dict):
        return None
    given = copy.deepcopy(given)
    for _ in range(_ROUNDS):
        try:
            return MappingDocument.model_validate_json(json.dumps(given), strict=True)
        except ValidationError as error:
            for found in independent_errors(error):
                _mend(given, document_path(found), found["type"])
    return None


def _mend(given: Any, place: tuple[str | int, ...], kind: str) -> None:
    """Take out what is wrong, or put in what is missing; a summary has no expressions, so it goes whole."""
    if place[:1] == ("summary",):
        given.pop("summary", None)
        return
    place = tuple(step for step in place if step != _OF_A_NAME)
    holder, last = _followed(given, place)
    match holder, last:
        case list(), int() if kind.startswith("union_tag") and isinstance(holder[last], dict):
            holder[last] |= {"type": "text"}
        case dict(), str() if kind == "missing":
            holder[last] = _stand_in(last, place)
        case dict(), str():
            holder.pop(last, None)
        case list(), int() if last < len(holder):
            holder[last] = {}


def _stand_in(name: str, place: tuple[str | int, ...]) -> Any:
    number = next((step for step in place if isinstance(step, int)), 0)
    match name:
        case "id" | "code":
            return f"malformed_{number}"
        case "header":
            return dict.fromkeys(_WORDS, f"malformed {number}")
        case _:
            return copy.deepcopy(_SOUND.get(name))


def _followed(given: Any, place: tuple[str | int, ...]) -> tuple[Any, str | int | None]:
    """The innermost thing that holds the fault, and the fault's place in it."""
    holder: Any = None
    value: Any = given
    last: str | int | None = None
    for number, step in enumerate(place, start=1):
        if isinstance(value, dict) and (step in value or (number == len(place) and isinstance(step, str))):
            holder, value, last = value, value.get(step), step
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            holder, value, last = value, value[step], step
    return holder, last
