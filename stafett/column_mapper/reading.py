"""From what somebody wrote to a document that is sound, or to everything that is wrong with it."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from stafett.column_mapper.compiler import compile_mapping
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.faults import InvalidMappingError, MappingFault, faults_of
from stafett.column_mapper.mending import mended
from stafett.column_mapper.values import MOST
from stafett.json_pointer import Step, pointer

MOST_BYTES = 256 * 1024
_DEEPEST, _MOST_PARTS = 64, 20_000
_ALLOWED_CONTROLS = frozenset("\t\n")


def read_mapping(written: bytes | str) -> MappingDocument:
    """A document that compiles; raises ``InvalidMappingError`` with all of its faults."""
    return read_document(_parsed(written))


def read_submission(written: bytes) -> MappingDocument:
    """A document as a client hands it in: bare, or within the resource that it was read from."""
    given = _parsed(written)
    if not isinstance(given, dict) or "document" not in given:
        return read_document(given)
    try:
        document = read_document(given["document"])
    except InvalidMappingError as error:
        below = (fault.model_copy(update={"pointer": f"/document{fault.pointer}"}) for fault in error.faults)
        raise InvalidMappingError(below) from None
    day = document.effective_from.isoformat()
    if given.get("effective_from", day) != day:
        detail = f"The document itself says {day}."
        raise InvalidMappingError([MappingFault(pointer="/effective_from", code="contradiction", detail=detail)])
    return document


def read_document(given: Any) -> MappingDocument:
    """The same for JSON that was parsed already."""
    faults = list(_unfit_parts(given))
    if faults:
        raise InvalidMappingError(faults)
    return _checked(_normal(given))


def _checked(given: Any) -> MappingDocument:
    try:
        document = MappingDocument.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        raise InvalidMappingError([*faults_of(error, given), *_further_faults(given)]) from None
    compile_mapping(document, "nb")
    return document


def _further_faults(given: Any) -> tuple[MappingFault, ...]:
    """What else is wrong, seen by putting something sound in the place of what has not even the right form."""
    document = mended(given)
    if document is None:
        return ()
    try:
        compile_mapping(document, "nb")
    except InvalidMappingError as error:
        return error.faults
    return ()


def _parsed(written: bytes | str) -> Any:
    if len(written) > MOST_BYTES:
        raise _unreadable("too_large", f"A mapping document has at most {MOST_BYTES // 1024} KiB.")
    try:
        text = written if isinstance(written, str) else written.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_number)
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


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in pairs:
        if name in known:
            raise ValueError(f"“{name[:60]}” stands twice in one object")
        known[name] = value
    return known


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
            yield from (((*place, name), below) for name, below in value.items())
        case list():
            yield from (((*place, number), below) for number, below in enumerate(value))
        case _:
            return


def _unfit(value: Any) -> str | None:
    match value:
        case str() if _cannot_be_written(value):
            return "A text holds no control characters and no half characters."
        case dict() if any(_cannot_be_written(name) for name in value):
            return "A name holds no control characters and no half characters."
        case int() | float() if not -MOST <= value <= MOST:
            return f"Expected a number between -{MOST} and {MOST}."
        case _:
            return None


def _cannot_be_written(text: str) -> bool:
    return any((one < " " and one not in _ALLOWED_CONTROLS) or "\ud800" <= one <= "\udfff" for one in text)


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
