"""From what somebody wrote to a document that is sound, or to everything that is wrong with it."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError

from stafett.column_mapper.compiler import compile_mapping
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import InvalidMappingError, MappingIssue, issues_from_validation, quote_name
from stafett.column_mapper.repair import mended
from stafett.column_mapper.values import MAX_EXACT_INTEGER
from stafett.domain.json_pointer import PathSegment, format_pointer

MAX_DOCUMENT_BYTES = 256 * 1024
_MAX_DEPTH, _MAX_VALUES, _MAX_DIGITS, _MAX_NAME_LENGTH, _MAX_ISSUES = 40, 20_000, 400, 200, 1000
_UNCERTAIN_CODES = frozenset({"wrong_column", "not_distinct", "unknown_table"})
_RESOURCE_FIELDS = frozenset({"org_id", "version", "effective_from", "sha256", "created_by", "created_at", "document"})
_ALLOWED_CONTROL_CHARACTERS, _FORBIDDEN_IN_XML = frozenset("\t\n"), frozenset("\ufffe\uffff")


def load_mapping(content: bytes | str) -> MappingDocument:
    """A document that compiles; raises ``InvalidMappingError`` with all of its faults."""
    return validate_document(_parse_json(content))


def load_mapping_request(content: bytes, org_id: str) -> MappingDocument:
    """A document as a client hands it in: bare, or within the resource that it was read from."""
    given = _parse_json(content)
    if not isinstance(given, dict) or "document" not in given:
        return validate_document(given)
    try:
        document = validate_document(given["document"])
    except InvalidMappingError as error:
        below = (fault.model_copy(update={"pointer": f"/document{fault.pointer}"}) for fault in error.issues)
        raise InvalidMappingError(below) from None
    faults = list(_find_conflicts(given, {"org_id": org_id, "effective_from": document.effective_from.isoformat()}))
    if faults:
        raise InvalidMappingError(faults)
    return document


def _find_conflicts(resource: dict[str, Any], expected: dict[str, str]) -> Iterator[MappingIssue]:
    """What a resource says beside its document, if it says anything else than the document or the address."""
    for name, value in resource.items():
        if name not in _RESOURCE_FIELDS:
            yield MappingIssue(
                pointer=format_pointer(name), code="extra_forbidden", detail=f"{quote_name(name)} is not known here."
            )
        elif value != expected.get(name, value):
            yield MappingIssue(pointer=format_pointer(name), code="contradiction", detail=f"Expected {expected[name]}.")


def validate_document(data: Any) -> MappingDocument:
    """The same for JSON that was parsed already."""
    faults = list(_find_invalid_values(data))
    if faults:
        raise InvalidMappingError(_limit_issues(faults))
    try:
        return _validate_and_compile(_normalise_numbers(data))
    except InvalidMappingError as error:
        raise InvalidMappingError(_limit_issues(error.issues)) from None


def _limit_issues(issues: Sequence[MappingIssue]) -> list[MappingIssue]:
    """Enough for anybody to begin with."""
    if len(issues) <= _MAX_ISSUES:
        return list(issues)
    more = MappingIssue(pointer="", code="more_faults", detail=f"There are {len(issues) - _MAX_ISSUES + 1} more.")
    return [*issues[: _MAX_ISSUES - 1], more]


def _validate_and_compile(data: Any) -> MappingDocument:
    try:
        document = MappingDocument.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        faults = issues_from_validation(error, data)
        raise InvalidMappingError([*faults, *_find_further_issues(data, {fault.pointer for fault in faults})]) from None
    compile_mapping(document, "nb")
    return document


def _find_further_issues(data: Any, known_pointers: set[str]) -> tuple[MappingIssue, ...]:
    """What else is wrong, seen by putting something sound in the place of what has not even the right form."""
    document = mended(data)
    if document is None:
        return ()
    try:
        compile_mapping(document, "nb")
    except InvalidMappingError as error:
        return tuple(fault for fault in error.issues if not _is_uncertain(fault, known_pointers))
    return ()


def _is_uncertain(issue: MappingIssue, known_pointers: set[str]) -> bool:
    """What may hold only because something was put in the place of something else, such as a column's type."""
    column = issue.pointer.removesuffix("/value")
    return issue.code in _UNCERTAIN_CODES or (
        issue.code == "wrong_type" and column != issue.pointer and column in known_pointers
    )


def _parse_json(content: bytes | str) -> Any:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise _document_error("too_large", f"A mapping document has at most {MAX_DOCUMENT_BYTES // 1024} KiB.")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        twice: list[str] = []
        given = json.loads(
            text,
            object_pairs_hook=partial(_build_object, twice),
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
    if twice:
        doubled = (f"{quote_name(name)} stands twice in one object." for name in dict.fromkeys(twice))
        raise InvalidMappingError(
            _limit_issues([MappingIssue(pointer="", code="stands_twice", detail=detail) for detail in doubled])
        )
    return given


def _build_object(duplicates: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in pairs:
        if name in known:
            duplicates.append(name)
        known[name] = value
    return known


def _parse_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"A number has at most {_MAX_DIGITS} digits")
    return int(digits)


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _document_error(code: str, detail: str) -> InvalidMappingError:
    return InvalidMappingError([MappingIssue(pointer="", code=code, detail=detail)])


def _find_invalid_values(data: Any) -> Iterator[MappingIssue]:
    """What no document may hold, wherever it stands; looked at level by level, so that depth costs nothing."""
    level: list[tuple[tuple[PathSegment, ...], Any]] = [((), data)]
    parts = 0
    for _ in range(_MAX_DEPTH):
        parts += len(level)
        if parts > _MAX_VALUES:
            yield MappingIssue(pointer="", code="too_large", detail=f"Expected at most {_MAX_VALUES} values in all.")
            return
        for place, value in level:
            if reason := _explain_invalid_value(value):
                yield MappingIssue(pointer=format_pointer(*place), code="unfit_value", detail=reason)
        level = [below for place, value in level for below in _iterate_children(place, value)]
        if not level:
            return
    yield MappingIssue(
        pointer=format_pointer(*level[0][0]), code="too_deep", detail=f"Expected at most {_MAX_DEPTH} levels."
    )


def _iterate_children(path: tuple[PathSegment, ...], value: Any) -> Iterator[tuple[tuple[PathSegment, ...], Any]]:
    match value:
        case dict():
            yield from (((*path, name), below) for name, below in value.items() if len(name) <= _MAX_NAME_LENGTH)
        case list():
            yield from (((*path, number), below) for number, below in enumerate(value))
        case _:
            return


def _explain_invalid_value(value: Any) -> str | None:
    match value:
        case str() if _has_forbidden_characters(value):
            return "A text holds no control characters and no half characters."
        case dict() if any(len(name) > _MAX_NAME_LENGTH for name in value):
            return f"A name has at most {_MAX_NAME_LENGTH} characters."
        case dict() if any(_has_forbidden_characters(name) for name in value):
            return "A name holds no control characters and no half characters."
        case int() | float() if not -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER:
            return f"Expected a number between -{MAX_EXACT_INTEGER} and {MAX_EXACT_INTEGER}."
        case _:
            return None


def _has_forbidden_characters(text: str) -> bool:
    """Neither as UTF-8 nor in a workbook."""
    return any(_is_forbidden_control(one) or "\ud800" <= one <= "\udfff" or one in _FORBIDDEN_IN_XML for one in text)


def _is_forbidden_control(character: str) -> bool:
    return character < " " and character not in _ALLOWED_CONTROL_CHARACTERS


def _normalise_numbers(value: Any) -> Any:
    """Numbers as JSON means them: 1.0 is 1."""
    match value:
        case dict():
            return {name: _normalise_numbers(below) for name, below in value.items()}
        case list():
            return [_normalise_numbers(below) for below in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
