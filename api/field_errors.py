"""Errors of the fields of a request: at most a hundred, and none quotes a value."""

from collections.abc import Sequence
from json import JSONDecodeError
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import Field

from stafett.domain.activity_faults import read_limit
from stafett.domain.errors import RequestIssue
from stafett.domain.fields import read_message
from stafett.domain.frozen import FrozenModel
from stafett.domain.json_pointer import pointer_from_error

MAX_ERRORS = 100
INVALID_JSON_DETAIL = "The body is not valid JSON in UTF-8."
_PARAMETERS = ("query", "header")
_MAX_POINTER_LENGTH, _MAX_DETAIL_LENGTH = 500, 1000


class FieldError(FrozenModel):
    """An invalid field and its location."""

    pointer: str = Field(
        description="JSON pointer into the body, or `query:name`, `header:name`, `path:name` for a parameter."
    )
    code: str = Field(description="Stable code of the error.")
    detail: str = Field(description="Explanation for people. It never quotes the value.")


class TruncatedValidationError(RequestValidationError):
    """Validation errors of which ``omitted`` more were only counted."""

    def __init__(self, errors: Sequence[Any], *, body: object, omitted: int) -> None:
        super().__init__(errors, body=body)
        self.omitted = omitted


def create_field_error(pointer: str, code: str, detail: str) -> FieldError:
    """Shorten texts that contain parts of the request, such as a key's name; a pointer ends at a whole segment."""
    if len(pointer) > _MAX_POINTER_LENGTH:
        pointer = pointer[: _MAX_POINTER_LENGTH + 1].rpartition("/")[0]
    return FieldError(pointer=pointer, code=code, detail=detail[:_MAX_DETAIL_LENGTH])


def issue_from_validation(error: dict[str, Any], body: object) -> RequestIssue:
    """Describe location and kind of a Pydantic error, without the value."""
    pointer, code = _pointer_from_location(error["loc"], error["type"], body), error["type"]
    match code, error["loc"]:
        case "json_invalid", (_, int(position)) if isinstance(body, str):
            found = JSONDecodeError("", body, position)
            detail = f"{INVALID_JSON_DETAIL.rstrip('.')} (line {found.lineno}, column {found.colno})."
            return RequestIssue(pointer, code, detail, f"{found.lineno}:{found.colno}")
        case "json_invalid", _:
            return RequestIssue(pointer, code, INVALID_JSON_DETAIL)
        case "extra_forbidden", (source, *_):
            return RequestIssue(pointer, code, "Unknown parameter." if source in _PARAMETERS else "Unknown field.")
        case "literal_error", (*_, "[key]"):
            return RequestIssue(pointer, code, f"Unknown field. {read_message(error)}.")
        case _:
            return RequestIssue(pointer, code, read_message(error), read_limit(error))


def _pointer_from_location(location: Sequence[str | int], error_type: str, body: object) -> str:
    source, *path = location
    if error_type == "json_invalid":
        return ""  # the whole body
    if source != "body":
        return f"{source}:{'/'.join(str(step) for step in path[:1])}"
    return pointer_from_error(path, error_type, body)
