"""What is wrong with a mapping document: all of it at once, each fault where it stands."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stafett.column_mapper.workbook_layout import CELL_REFERENCE_PATTERN
from stafett.domain.errors import StafettError
from stafett.domain.frozen import FrozenModel
from stafett.domain.json_pointer import pointer_from_error


class MappingIssue(FrozenModel):
    """One fault, and what was expected instead."""

    pointer: str
    code: str
    detail: str


class InvalidMappingError(StafettError):
    """A document that cannot be used."""

    def __init__(self, issues: Iterable[MappingIssue]) -> None:
        self.issues = tuple(issues)
        first = self.issues[0]
        more = f" (and {len(self.issues) - 1} more)" if len(self.issues) > 1 else ""
        super().__init__(f"{first.pointer or 'The document'}: {first.detail}{more}")


class ExpressionError(Exception):
    """Something in an expression is not as it must be."""

    def __init__(self, code: str, detail: str, *relative_path: str | int) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.relative_path = relative_path


def quote_name(name: object) -> str:
    """A name as it can be shown: short, on one line, with nothing in it that a terminal would obey."""
    shown = "".join(character if character.isprintable() else "�" for character in str(name)[:60])
    return f"“{shown}…”" if len(str(name)) > len(shown) else f"“{shown}”"


def issues_from_validation(error: ValidationError, document: Any) -> list[MappingIssue]:
    """Pydantic's findings in our words; they quote no value."""
    return [
        MappingIssue(
            pointer=pointer_from_error(document_path(found), found["type"], document),
            code=found["type"],
            detail=_format_detail(found),
        )
        for found in independent_errors(error)
    ]


def document_path(error: ErrorDetails) -> tuple[str | int, ...]:
    """Where it stands in the document: the alternatives of unions, which Pydantic names as it goes, are no steps."""
    match error["loc"]:
        case ("columns", int(number), str(), *further):
            return ("columns", number, *further)
        case ("summary", "measures", int(number), str(), *further):
            return ("summary", "measures", number, *further)
        case place:
            return place


def independent_errors(error: ValidationError) -> list[ErrorDetails]:
    """What Pydantic found, without what only follows from something else that it found."""
    every = error.errors(include_url=False, include_input=False)
    return [found for found in every if not _is_consequence(found, every)]


def _is_consequence(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """A list is called too short because what stands in it is faulty, and that is told already."""
    place = error["loc"]
    return error["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in errors
    )


def _format_detail(error: ErrorDetails) -> str:
    known, facts = error.get("ctx", {}), _MessageContext(name=quote_name(error["loc"][-1] if error["loc"] else ""))
    words = (
        "Expected a cell such as A4."
        if known.get("pattern") == CELL_REFERENCE_PATTERN
        else _MESSAGE_BY_ERROR_TYPE.get(error["type"])
    )
    if words is None:
        return error["msg"].removeprefix("Value error, ").removesuffix(".") + "."
    return words.format_map(facts | {name: str(value) for name, value in known.items()})


class _MessageContext(dict[str, object]):
    """What a sentence may name; what is not known of a fault is left out of it."""

    def __missing__(self, name: str) -> str:
        return "…"


_MESSAGE_BY_ERROR_TYPE = {
    "extra_forbidden": "{name} is not known here.",
    "missing": "{name} is missing.",
    "literal_error": "Expected {expected}.",
    "union_tag_not_found": "“type” is missing.",
    "union_tag_invalid": "Expected one of {expected_tags} as the type.",
    "string_type": "Expected a text.",
    "int_type": "Expected a whole number.",
    "int_from_float": "Expected a whole number.",
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
    "string_pattern_mismatch": "Expected at most 63 small letters a to z, digits and _, with a letter first.",
    "string_too_short": "Expected at least {min_length} character.",
    "string_too_long": "Expected at most {max_length} characters.",
    "too_short": "Expected at least {min_length} of them.",
    "too_long": "Expected at most {max_length} of them.",
    "greater_than_equal": "Expected at least {ge}.",
    "less_than_equal": "Expected at most {le}.",
}
