"""From what somebody wrote to a document that is sound, or to everything that is wrong with it."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError

from stafett.column_mapper.compiler import compile_mapping
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import InvalidMappingError, MappingFault, faults_of, quoted
from stafett.column_mapper.repair import mended
from stafett.column_mapper.values import MOST
from stafett.domain.json_pointer import Step, pointer

MOST_BYTES = 256 * 1024
_DEEPEST, _MOST_PARTS, _MOST_DIGITS, _LONGEST_NAME, _MOST_FAULTS = 40, 20_000, 400, 200, 1000
_UNSURE = frozenset({"wrong_column", "not_distinct", "unknown_table"})
_OF_A_RESOURCE = frozenset({"org_id", "version", "effective_from", "sha256", "created_by", "created_at", "document"})
_ALLOWED_CONTROLS, _NOT_IN_XML = frozenset("\t\n"), frozenset("\ufffe\uffff")


def read_mapping(written: bytes | str) -> MappingDocument:
    """A document that compiles; raises ``InvalidMappingError`` with all of its faults."""
    return read_document(_parsed(written))


def read_submission(written: bytes, org_id: str) -> MappingDocument:
    """A document as a client hands it in: bare, or within the resource that it was read from."""
    given = _parsed(written)
    if not isinstance(given, dict) or "document" not in given:
        return read_document(given)
    try:
        document = read_document(given["document"])
    except InvalidMappingError as error:
        below = (fault.model_copy(update={"pointer": f"/document{fault.pointer}"}) for fault in error.faults)
        raise InvalidMappingError(below) from None
    faults = list(_contradictions(given, {"org_id": org_id, "effective_from": document.effective_from.isoformat()}))
    if faults:
        raise InvalidMappingError(faults)
    return document


def _contradictions(given: dict[str, Any], known: dict[str, str]) -> Iterator[MappingFault]:
    """What a resource says beside its document, if it says anything else than the document or the address."""
    for name, value in given.items():
        if name not in _OF_A_RESOURCE:
            yield MappingFault(
                pointer=pointer(name), code="extra_forbidden", detail=f"{quoted(name)} is not known here."
            )
        elif value != known.get(name, value):
            yield MappingFault(pointer=pointer(name), code="contradiction", detail=f"Expected {known[name]}.")


def read_document(given: Any) -> MappingDocument:
    """The same for JSON that was parsed already."""
    faults = list(_unfit_parts(given))
    if faults:
        raise InvalidMappingError(_bounded(faults))
    try:
        return _checked(_normal(given))
    except InvalidMappingError as error:
        raise InvalidMappingError(_bounded(error.faults)) from None


def _bounded(faults: Sequence[MappingFault]) -> list[MappingFault]:
    """Enough for anybody to begin with."""
    if len(faults) <= _MOST_FAULTS:
        return list(faults)
    more = MappingFault(pointer="", code="more_faults", detail=f"There are {len(faults) - _MOST_FAULTS + 1} more.")
    return [*faults[: _MOST_FAULTS - 1], more]


def _checked(given: Any) -> MappingDocument:
    try:
        document = MappingDocument.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        faults = faults_of(error, given)
        raise InvalidMappingError([*faults, *_further_faults(given, {fault.pointer for fault in faults})]) from None
    compile_mapping(document, "nb")
    return document


def _further_faults(given: Any, told: set[str]) -> tuple[MappingFault, ...]:
    """What else is wrong, seen by putting something sound in the place of what has not even the right form."""
    document = mended(given)
    if document is None:
        return ()
    try:
        compile_mapping(document, "nb")
    except InvalidMappingError as error:
        return tuple(fault for fault in error.faults if not _is_unsure(fault, told))
    return ()


def _is_unsure(fault: MappingFault, told: set[str]) -> bool:
    """What may hold only because something was put in the place of something else, such as a column's type."""
    column = fault.pointer.removesuffix("/value")
    return fault.code in _UNSURE or (fault.code == "wrong_type" and column != fault.pointer and column in told)


def _parsed(written: bytes | str) -> Any:
    if len(written) > MOST_BYTES:
        raise _unreadable("too_large", f"A mapping document has at most {MOST_BYTES // 1024} KiB.")
    try:
        text = written if isinstance(written, str) else written.decode("utf-8-sig")
        twice: list[str] = []
        given = json.loads(
            text, object_pairs_hook=partial(_distinct, twice), parse_constant=_no_number, parse_int=_integer
        )
    except UnicodeDecodeError:
        raise _unreadable("not_utf8", "Expected UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _unreadable(
            "not_json", f"Expected JSON: {error.msg}, line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise _unreadable("too_deep", f"Expected at most {_DEEPEST} levels.") from None
    except ValueError as error:
        raise _unreadable("not_json", f"{error}.") from None
    if twice:
        doubled = (f"{quoted(name)} stands twice in one object." for name in dict.fromkeys(twice))
        raise InvalidMappingError(
            _bounded([MappingFault(pointer="", code="stands_twice", detail=detail) for detail in doubled])
        )
    return given


def _distinct(twice: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in pairs:
        if name in known:
            twice.append(name)
        known[name] = value
    return known


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"A number has at most {_MOST_DIGITS} digits")
    return int(digits)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _unreadable(code: str, detail: str) -> InvalidMappingError:
    return InvalidMappingError([MappingFault(pointer="", code=code, detail=detail)])


def _unfit_parts(given: Any) -> Iterator[MappingFault]:
    """What no document may hold, wherever it stands; looked at level by level, so that depth costs nothing."""
    level: list[tuple[tuple[Step, ...], Any]] = [((), given)]
    parts = 0
    for _ in range(_DEEPEST):
        parts += len(level)
        if parts > _MOST_PARTS:
            yield MappingFault(pointer="", code="too_large", detail=f"Expected at most {_MOST_PARTS} values in all.")
            return
        for place, value in level:
            if reason := _unfit(value):
                yield MappingFault(pointer=pointer(*place), code="unfit_value", detail=reason)
        level = [below for place, value in level for below in _below(place, value)]
        if not level:
            return
    yield MappingFault(pointer=pointer(*level[0][0]), code="too_deep", detail=f"Expected at most {_DEEPEST} levels.")


def _below(place: tuple[Step, ...], value: Any) -> Iterator[tuple[tuple[Step, ...], Any]]:
    match value:
        case dict():
            yield from (((*place, name), below) for name, below in value.items() if len(name) <= _LONGEST_NAME)
        case list():
            yield from (((*place, number), below) for number, below in enumerate(value))
        case _:
            return


def _unfit(value: Any) -> str | None:
    match value:
        case str() if _cannot_be_written(value):
            return "A text holds no control characters and no half characters."
        case dict() if any(len(name) > _LONGEST_NAME for name in value):
            return f"A name has at most {_LONGEST_NAME} characters."
        case dict() if any(_cannot_be_written(name) for name in value):
            return "A name holds no control characters and no half characters."
        case int() | float() if not -MOST <= value <= MOST:
            return f"Expected a number between -{MOST} and {MOST}."
        case _:
            return None


def _cannot_be_written(text: str) -> bool:
    """Neither as UTF-8 nor in a workbook."""
    return any(_is_control(one) or "\ud800" <= one <= "\udfff" or one in _NOT_IN_XML for one in text)


def _is_control(character: str) -> bool:
    return character < " " and character not in _ALLOWED_CONTROLS


def _normal(value: Any) -> Any:
    """Numbers as JSON means them: 1.0 is 1."""
    match value:
        case dict():
            return {name: _normal(below) for name, below in value.items()}
        case list():
            return [_normal(below) for below in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
