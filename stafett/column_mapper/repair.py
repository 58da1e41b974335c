"""Repairs malformed documents with placeholders, so that the rest of them can be compiled and checked."""

import copy
import json
from typing import Any

from pydantic import ValidationError

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import document_path, independent_errors

_MAX_ROUNDS = 6
_KEY_MARKER = "[key]"  # the end of Pydantic's location for an invalid key of an object, as opposed to its value
_PLACEHOLDER_TEXTS = {"nb": "-", "nn": "-", "en": "-"}
_PLACEHOLDERS: dict[str, Any] = {
    "format": 1,
    "title": "-",
    "effective_from": "2000-01-01",
    "counting": {"reasons": []},
    "reasons": [],
    "severity": "warning",
    "count": "rows",
    "options": "malformed",
    "columns": [{"id": "malformed", "header": _PLACEHOLDER_TEXTS, "type": "text", "value": None}],
    "message": _PLACEHOLDER_TEXTS,
    "label": _PLACEHOLDER_TEXTS,
    "when": False,
    "value": None,
    **_PLACEHOLDER_TEXTS,
}


def repair_document(data: Any) -> MappingDocument | None:
    """Return the document without its malformed parts, or ``None`` if it cannot be repaired."""
    if not isinstance(data, dict):
        return None
    data = copy.deepcopy(data)
    for _ in range(_MAX_ROUNDS):
        try:
            return MappingDocument.model_validate_json(json.dumps(data), strict=True)
        except ValidationError as validation_error:
            for error in independent_errors(validation_error):
                _repair_error(data, document_path(error), error["type"])
    return None


def _repair_error(data: Any, path: tuple[str | int, ...], error_type: str) -> None:
    """Remove an invalid value, or add a missing one.

    An invalid summary is removed completely: it has no expressions that could be checked.
    """
    if path[:1] == ("summary",):
        data.pop("summary", None)
        return
    path = tuple(segment for segment in path if segment != _KEY_MARKER)
    container, key = _find_container(data, path)
    match container, key:
        case list(), int() if error_type.startswith("union_tag") and isinstance(container[key], dict):
            container[key] |= {"type": "text"}
        case dict(), str() if error_type == "missing":
            container[key] = _placeholder_for(key, path)
        case dict(), str():
            container.pop(key, None)
        case list(), int() if key < len(container):
            container[key] = {}


def _placeholder_for(name: str, path: tuple[str | int, ...]) -> Any:
    index = next((segment for segment in path if isinstance(segment, int)), 0)
    match name:
        case "id" | "code":
            return f"malformed_{index}"
        case "header":
            return dict.fromkeys(_PLACEHOLDER_TEXTS, f"malformed {index}")
        case _:
            return copy.deepcopy(_PLACEHOLDERS.get(name))


def _find_container(data: Any, path: tuple[str | int, ...]) -> tuple[Any, str | int | None]:
    """Find the innermost object or list on the path, and the key or index of the error in it."""
    container: Any = None
    value: Any = data
    key: str | int | None = None
    for depth, segment in enumerate(path, start=1):
        if isinstance(value, dict) and (segment in value or (depth == len(path) and isinstance(segment, str))):
            container, value, key = value, value.get(segment), segment
        elif isinstance(value, list) and isinstance(segment, int) and segment < len(value):
            container, value, key = value, value[segment], segment
    return container, key
