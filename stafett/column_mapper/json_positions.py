"""The lines of a JSON text on which its values are, so that an issue can name the line."""

import re
from collections.abc import Iterator, Mapping
from json import JSONDecoder

from stafett.domain.json_pointer import PathSegment, format_pointer

_DECODER = JSONDecoder()
_SPACE, _SCALAR = re.compile(r"[ \t\r\n]*"), re.compile(r"[^ \t\r\n,\]}]+")


def find_lines(text: str, pointers: Iterator[str]) -> Mapping[str, int]:
    """Return the line of each pointer that is in a valid JSON text, or else of the nearest value around it."""
    text = text.removeprefix("\ufeff")
    try:
        offsets = {format_pointer(*path): offset for path, offset in _scan(text, 0, ())[1]}
    except (ValueError, IndexError, RecursionError):
        return {}
    lines = dict[str, int]()
    for pointer in pointers:
        known = pointer
        while known and known not in offsets:
            known = known.rpartition("/")[0]
        lines[pointer] = text.count("\n", 0, offsets[known]) + 1
    return lines


Offsets = list[tuple[tuple[PathSegment, ...], int]]


def _scan(text: str, start: int, path: tuple[PathSegment, ...]) -> tuple[int, Offsets]:
    """Scan a value; return where it ends, and the offsets of it and of all values in it."""
    start = _skip(text, start)
    found: Offsets = [(path, start)]
    if text[start] == '"':
        return _DECODER.raw_decode(text, start)[1], found
    if text[start] not in "{[":
        scalar = _SCALAR.match(text, start)
        return scalar.end() if scalar else start + 1, found
    is_object, position, number = text[start] == "{", _skip(text, start + 1), 0
    while text[position] not in "}]":
        name: PathSegment = number
        key = position
        if is_object:
            name, position = _DECODER.raw_decode(text, position)
            position = _skip(text, position) + 1
        position, inner = _scan(text, position, (*path, name))
        found += [(inner[0][0], key), *inner[1:]]
        position, number = _skip(text, position), number + 1
        if text[position] == ",":
            position = _skip(text, position + 1)
    return position + 1, found


def _skip(text: str, start: int) -> int:
    space = _SPACE.match(text, start)
    return space.end() if space else start
