"""The issues of an invalid mapping document, each with its location."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stafett.column_mapper.workbook_layout import CELL_REFERENCE_PATTERN
from stafett.domain.errors import StafettError
from stafett.domain.fields import read_message
from stafett.domain.frozen import FrozenModel
from stafett.domain.json_pointer import pointer_from_error


class MappingIssue(FrozenModel):
    """One issue: the JSON pointer to it, a code, and a sentence that names what was expected."""

    pointer: str
    code: str
    detail: str


class InvalidMappingError(StafettError):
    """A document that does not validate or compile, with all issues of its form, or else of its names and types."""

    def __init__(self, issues: Iterable[MappingIssue]) -> None:
        self.issues = tuple(issues)
        first = self.issues[0]
        more = f" (and {len(self.issues) - 1} more)" if len(self.issues) > 1 else ""
        super().__init__(f"{first.pointer or 'The document'}: {first.detail}{more}")


class ExpressionError(Exception):
    """An invalid expression, with the issue's path below that expression."""

    def __init__(self, code: str, detail: str, *relative_path: str | int) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.relative_path = relative_path


def quote_name(name: object) -> str:
    """Quote a name from a document, shortened and without control characters, which a terminal would interpret."""
    printable = "".join(character if character.isprintable() else "�" for character in str(name)[:60])
    return f"“{printable}…”" if len(str(name)) > len(printable) else f"“{printable}”"


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return a question about a similar name, to be appended to a sentence."""
    return next((f" Did you mean “{match}”?" for match in get_close_matches(name, known, n=1)), "")


def issues_from_validation(error: ValidationError, document: Any) -> list[MappingIssue]:
    """Convert Pydantic's errors to issues. The issues quote no values."""
    return [
        MappingIssue(
            pointer=pointer_from_error(_document_path(details), details["type"], document),
            code=details["type"],
            detail=_format_detail(details),
        )
        for details in _independent_errors(error)
    ]


def _document_path(error: ErrorDetails) -> tuple[str | int, ...]:
    """Return the path of an error in the document, without the union tags that Pydantic adds to its location."""
    match error["loc"]:
        case ("columns", int(number), str(), *further):
            return ("columns", number, *further)
        case ("summary", "measures", int(number), str(), *further):
            return ("summary", "measures", number, *further)
        case path:
            return path


def _independent_errors(error: ValidationError) -> list[ErrorDetails]:
    """Return Pydantic's errors without those that only follow from another error."""
    errors = error.errors(include_url=False, include_input=False)
    return [details for details in errors if not _is_consequence(details, errors)]


def _is_consequence(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """Return whether a list only counts as too short because its items have errors of their own."""
    path = error["loc"]
    return error["type"] == "too_short" and any(
        other["loc"][: len(path)] == path and len(other["loc"]) > len(path) for other in errors
    )


def _format_detail(error: ErrorDetails) -> str:
    parameters = error.get("ctx", {})
    context = _MessageContext(name=quote_name(error["loc"][-1] if error["loc"] else ""))
    template = (
        "Expected a cell reference such as A4."
        if parameters.get("pattern") == CELL_REFERENCE_PATTERN
        else _MESSAGE_BY_ERROR_TYPE.get(error["type"])
    )
    if template is None:
        return read_message(error).removesuffix(".") + "."
    return template.format_map(context | {name: str(value) for name, value in parameters.items()})


class _MessageContext(dict[str, object]):
    """The parameters of a message. A parameter that the error does not have becomes an ellipsis."""

    def __missing__(self, name: str) -> str:
        return "…"


_MESSAGE_BY_ERROR_TYPE = {
    "extra_forbidden": "Unknown field {name}.",
    "missing": "{name} is missing.",
    "literal_error": "Expected {expected}.",
    "union_tag_not_found": "“type” is missing.",
    "union_tag_invalid": "Expected one of {expected_tags} as the type.",
    "string_type": "Expected a text.",
    "int_type": "Expected an integer.",
    "int_from_float": "Expected an integer.",
    "float_type": "Expected a number.",
    "bool_type": "Expected true or false.",
    "dict_type": "Expected an object.",
    "model_type": "Expected an object.",
    "model_attributes_type": "Expected an object.",
    "tuple_type": "Expected a list.",
    "list_type": "Expected a list.",
    "date_type": "Expected a date such as 2026-01-31.",
    "date_parsing": "Expected a date such as 2026-01-31.",
    "date_from_datetime_parsing": "Expected a date such as 2026-01-31.",
    "date_from_datetime_inexact": "Expected a date such as 2026-01-31.",
    "string_pattern_mismatch": "Expected 1 to 63 characters: a to z, 0 to 9 and _, starting with a to z.",
    "string_too_short": "Expected at least {min_length} character.",
    "string_too_long": "Expected at most {max_length} characters.",
    "too_short": "Expected at least {min_length} item.",
    "too_long": "Expected at most {max_length} items.",
    "greater_than_equal": "Expected at least {ge}.",
    "less_than_equal": "Expected at most {le}.",
}
