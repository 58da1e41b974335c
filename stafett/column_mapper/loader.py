"""Loads mapping documents: first the issues of their form, then those of their names and types."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError

from stafett.column_mapper.compiler import compile_mapping
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import InvalidMappingError, MappingIssue, issues_from_validation, quote_name
from stafett.column_mapper.values import MAX_EXACT_INTEGER
from stafett.domain.json_pointer import PathSegment, format_pointer

MAX_DOCUMENT_BYTES = 256 * 1024
_MAX_DEPTH, _MAX_VALUES, _MAX_DIGITS, _MAX_NAME_LENGTH, _MAX_ISSUES = 40, 20_000, 400, 200, 1000
_RESOURCE_FIELDS = frozenset({"org_id", "version", "effective_from", "sha256", "created_by", "created_at", "document"})
_ALLOWED_CONTROL_CHARACTERS, _FORBIDDEN_IN_XML = frozenset("\t\n"), frozenset("\ufffe\uffff")


def load_mapping(content: bytes | str) -> MappingDocument:
    """Parse and validate a document. Raises ``InvalidMappingError`` with all of its issues."""
    return validate_document(_parse_json(content))


def load_mapping_request(content: bytes, org_id: str) -> MappingDocument:
    """Load the document of a request body: a bare document, or the resource that GET returned with one in it."""
    body = _parse_json(content)
    if not isinstance(body, dict) or "document" not in body:
        return validate_document(body)
    try:
        document = validate_document(body["document"])
    except InvalidMappingError as error:
        issues = (issue.model_copy(update={"pointer": f"/document{issue.pointer}"}) for issue in error.issues)
        raise InvalidMappingError(issues) from None
    conflicts = list(_find_conflicts(body, {"org_id": org_id, "effective_from": document.effective_from.isoformat()}))
    if conflicts:
        raise InvalidMappingError(conflicts)
    return document


def _find_conflicts(resource: dict[str, Any], expected: dict[str, str]) -> Iterator[MappingIssue]:
    """Yield the fields of a resource that are unknown or contradict its document or the URL."""
    for name, value in resource.items():
        if name not in _RESOURCE_FIELDS:
            yield MappingIssue(
                pointer=format_pointer(name), code="extra_forbidden", detail=f"Unknown field {quote_name(name)}."
            )
        elif value != expected.get(name, value):
            yield MappingIssue(pointer=format_pointer(name), code="contradiction", detail=f"Expected {expected[name]}.")


def validate_document(data: Any) -> MappingDocument:
    """Validate JSON that is already parsed. Raises ``InvalidMappingError`` with all of its issues."""
    issues = list(_find_invalid_values(data))
    if issues:
        raise InvalidMappingError(_limit_issues(issues))
    try:
        return _validate_and_compile(_normalise_numbers(data))
    except InvalidMappingError as error:
        raise InvalidMappingError(_limit_issues(error.issues)) from None


def _limit_issues(issues: Sequence[MappingIssue]) -> list[MappingIssue]:
    """Truncate a long list, and end it with an issue that counts the omitted ones."""
    if len(issues) <= _MAX_ISSUES:
        return list(issues)
    more = MappingIssue(pointer="", code="more_faults", detail=f"{len(issues) - _MAX_ISSUES + 1} more are not listed.")
    return [*issues[: _MAX_ISSUES - 1], more]


def _validate_and_compile(data: Any) -> MappingDocument:
    """Compile only a document that conforms to the schema: the rest of a malformed one would be guesswork."""
    try:
        document = MappingDocument.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise InvalidMappingError(issues_from_validation(error, data)) from None
    compile_mapping(document, "nb")
    return document


def _parse_json(content: bytes | str) -> Any:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise _document_error("too_large", f"A mapping document has at most {MAX_DOCUMENT_BYTES // 1024} KiB.")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        duplicates: list[str] = []
        data = json.loads(
            text,
            object_pairs_hook=partial(_build_object, duplicates),
            parse_constant=_reject_constant,
            parse_int=_parse_integer,
        )
    except UnicodeDecodeError:
        raise _document_error("not_utf8", "Expected UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _document_error(
            "not_json", f"Expected JSON: {error.msg}, line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise _document_error("too_deep", f"Expected at most {_MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise _document_error("not_json", f"{error}.") from None
    if duplicates:
        details = (f"Duplicate key {quote_name(name)} in one object." for name in dict.fromkeys(duplicates))
        raise InvalidMappingError(
            _limit_issues([MappingIssue(pointer="", code="stands_twice", detail=detail) for detail in details])
        )
    return data


def _build_object(duplicates: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for name, value in pairs:
        if name in built:
            duplicates.append(name)
        built[name] = value
    return built


def _parse_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"A number has at most {_MAX_DIGITS} digits")
    return int(digits)


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _document_error(code: str, detail: str) -> InvalidMappingError:
    return InvalidMappingError([MappingIssue(pointer="", code=code, detail=detail)])


def _find_invalid_values(data: Any) -> Iterator[MappingIssue]:
    """Yield values that no document may contain. The walk goes level by level, so deep nesting needs no recursion."""
    level: list[tuple[tuple[PathSegment, ...], Any]] = [((), data)]
    value_count = 0
    for _ in range(_MAX_DEPTH):
        value_count += len(level)
        if value_count > _MAX_VALUES:
            yield MappingIssue(pointer="", code="too_large", detail=f"Expected at most {_MAX_VALUES} values in all.")
            return
        for path, value in level:
            if reason := _explain_invalid_value(value):
                yield MappingIssue(pointer=format_pointer(*path), code="unfit_value", detail=reason)
        level = [child for path, value in level for child in _iterate_children(path, value)]
        if not level:
            return
    yield MappingIssue(
        pointer=format_pointer(*level[0][0]), code="too_deep", detail=f"Expected at most {_MAX_DEPTH} levels."
    )


def _iterate_children(path: tuple[PathSegment, ...], value: Any) -> Iterator[tuple[tuple[PathSegment, ...], Any]]:
    match value:
        case dict():
            yield from (((*path, name), child) for name, child in value.items() if len(name) <= _MAX_NAME_LENGTH)
        case list():
            yield from (((*path, index), child) for index, child in enumerate(value))
        case _:
            return


def _explain_invalid_value(value: Any) -> str | None:
    match value:
        case str() if _has_forbidden_characters(value):
            return "A text must not contain control characters or unpaired surrogates."
        case dict() if any(len(name) > _MAX_NAME_LENGTH for name in value):
            return f"A name has at most {_MAX_NAME_LENGTH} characters."
        case dict() if any(_has_forbidden_characters(name) for name in value):
            return "A name must not contain control characters or unpaired surrogates."
        case int() | float() if not -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER:
            return f"Expected a number between -{MAX_EXACT_INTEGER} and {MAX_EXACT_INTEGER}."
        case _:
            return None


def _has_forbidden_characters(text: str) -> bool:
    """Return whether UTF-8 or the XML of a workbook cannot represent the text."""
    return any(
        _is_forbidden_control(character) or "\ud800" <= character <= "\udfff" or character in _FORBIDDEN_IN_XML
        for character in text
    )


def _is_forbidden_control(character: str) -> bool:
    return character < " " and character not in _ALLOWED_CONTROL_CHARACTERS


def _normalise_numbers(value: Any) -> Any:
    """Convert whole floats to integers, because 1.0 and 1 are the same number in JSON."""
    match value:
        case dict():
            return {name: _normalise_numbers(child) for name, child in value.items()}
        case list():
            return [_normalise_numbers(child) for child in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
