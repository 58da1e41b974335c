"""Strategies for documents that nobody meant: JSON of any shape, and sound documents with something done to them."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import stafett.column_mapper.organisations
from stafett.column_mapper.operations import OPERATIONS

Place = tuple[str | int, ...]

_FOLDER = Path(next(iter(stafett.column_mapper.organisations.__path__)))
SOUND = [json.loads(file.read_text()) for file in sorted(_FOLDER.rglob("*.json"))]


def _places(value: Any, place: Place = ()) -> list[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(below for step, part in items for below in _places(part, (*place, step)))]


def at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


_WORDS_OF_DOCUMENTS = {str(place[-1]) for document in SOUND for place in _places(document) if place}
_FIELDS = ("oslo_day", "starts_at", "participants", "place", "in_person", "note", "counts", "reason", "minutes", "date")
_ODD = ("__proto__", "value x", "cell 0", "column date", "reason number", "[key]", "", " ", "a\nb", "\x85", "😀", "~/")
NAMES = st.sampled_from((*sorted(_WORDS_OF_DOCUMENTS), *OPERATIONS, *_FIELDS, *_ODD)) | st.text(max_size=3)
_TEXTS = st.sampled_from(("2026-01-31", "0001-01-01", "09:30", "A1", "x" * 1001, "\ud800", "\x00", "a\u2028b"))
_WHOLE = st.sampled_from((0, 1, -1, 2, 7, 100_000, -100_000, 2**53 - 1, 1 - 2**53, 2**53, 10**30))
_BROKEN = st.sampled_from((0.5, -0.0, 1e-320, 1.5e15, 1e308, 2.0, 9007199254740990.5)) | st.floats()
LEAVES = st.none() | st.booleans() | _WHOLE | _BROKEN | _TEXTS | NAMES
ANYTHING = st.recursive(
    LEAVES,
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(NAMES, below, max_size=4)
        | st.dictionaries(st.sampled_from(sorted(OPERATIONS)), below, min_size=1, max_size=1)
    ),
    max_leaves=12,
)
_VARIABLES = st.sampled_from(_FIELDS).map(lambda name: {"var": name})
_OPERATIONS = st.dictionaries(
    st.sampled_from(sorted(OPERATIONS)),
    st.lists(_VARIABLES | LEAVES, max_size=3) | _VARIABLES | LEAVES,
    min_size=1,
    max_size=1,
)
_PARTS = [copy.deepcopy(at(document, place)) for document in SOUND for place in _places(document) if place]
_BY_ROLE: dict[str, list[Any]] = {}
for _document in SOUND:
    for _place in _places(_document):
        if _place and isinstance(_place[-1], str):
            _BY_ROLE.setdefault(_place[-1], []).append(at(_document, _place))
_SUBTREES = st.sampled_from(_PARTS).map(copy.deepcopy)
_NEW = LEAVES | _VARIABLES | _OPERATIONS | _SUBTREES | ANYTHING


_GENTLE = ("likewise",) * 8


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """One of the real documents after a few accidents."""
    document = copy.deepcopy(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 4)))):
        place = draw(st.sampled_from([place for place in _places(document) if place] or [()]))
        if not place:
            break
        _happen(draw, document, place)
    return document


def _likewise(last: str | int, here: Any) -> st.SearchStrategy[Any]:
    """Something else that may well stand there."""
    match here:
        case bool():
            return st.booleans() | st.sampled_from(({"empty": {"var": "note"}}, {"==": [{"var": "place"}, "Bodø"]}))
        case int() | float():
            return _WHOLE | _BROKEN | st.integers(0, 60)
        case str():
            return _TEXTS | NAMES | st.text(max_size=12)
        case _ if last in _BY_ROLE:
            return st.sampled_from(_BY_ROLE[str(last)]).map(copy.deepcopy)
        case _:
            return _VARIABLES | _OPERATIONS | _SUBTREES


def _happen(draw: st.DrawFn, document: Any, place: Place) -> None:
    holder, last = at(document, place[:-1]), place[-1]
    here = holder[last]
    match draw(st.sampled_from((*_GENTLE, "delete", "replace", "double", "swap", "rename", "wrap", "operation"))):
        case "likewise":
            holder[last] = draw(_likewise(last, here))
        case "delete":
            del holder[last]
        case "double" if isinstance(holder, list):
            holder.insert(int(last), copy.deepcopy(here))
        case "double":
            holder[draw(NAMES)] = copy.deepcopy(here)
        case "swap":
            other = draw(st.sampled_from([place for place in _places(document) if place]))
            there = copy.deepcopy(at(document, other))
            at(document, other[:-1])[other[-1]] = copy.deepcopy(here)
            if other[: len(place)] != place and place[: len(other)] != other:
                holder[last] = there
        case "rename" if isinstance(holder, dict):
            holder[draw(NAMES)] = holder.pop(str(last))
        case "wrap":
            holder[last] = {draw(st.sampled_from(sorted(OPERATIONS))): draw(st.sampled_from(([here], here)))}
        case "operation" if isinstance(here, dict) and len(here) == 1:
            holder[last] = {draw(st.sampled_from(sorted(OPERATIONS))): next(iter(here.values()))}
        case _:
            holder[last] = draw(_NEW)
