"""Strategies for hostile documents: JSON of any shape, and mutated valid documents."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import stafett.column_mapper.organisations
from stafett.column_mapper.operations import OPERATIONS

JsonPath = tuple[str | int, ...]

_FOLDER = Path(next(iter(stafett.column_mapper.organisations.__path__)))
BUNDLED_DOCUMENTS = [json.loads(file.read_text()) for file in sorted(_FOLDER.rglob("*.json"))]


def _list_paths(value: Any, path: JsonPath = ()) -> list[JsonPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(path_below for step, child in items for path_below in _list_paths(child, (*path, step)))]


def value_at(document: Any, path: JsonPath) -> Any:
    for step in path:
        document = document[step]
    return document


_DOCUMENT_KEYS = {str(path[-1]) for document in BUNDLED_DOCUMENTS for path in _list_paths(document) if path}
_FIELDS = ("oslo_day", "starts_at", "participants", "place", "in_person", "note", "counts", "reason", "minutes", "date")
_ODD_NAMES = (
    "__proto__",
    "value x",
    "cell 0",
    "column date",
    "reason index",
    "[key]",
    "",
    " ",
    "a\nb",
    "\x85",
    "😀",
    "~/",
)
NAMES = st.sampled_from((*sorted(_DOCUMENT_KEYS), *OPERATIONS, *_FIELDS, *_ODD_NAMES)) | st.text(max_size=3)
_TEXTS = st.sampled_from(("2026-01-31", "0001-01-01", "09:30", "A1", "x" * 1001, "\ud800", "\x00", "a\u2028b"))
_INTEGERS = st.sampled_from((0, 1, -1, 2, 7, 100_000, -100_000, 2**53 - 1, 1 - 2**53, 2**53, 10**30))
_FRACTIONS = st.sampled_from((0.5, -0.0, 1e-320, 1.5e15, 1e308, 2.0, 9007199254740990.5)) | st.floats()
LEAVES = st.none() | st.booleans() | _INTEGERS | _FRACTIONS | _TEXTS | NAMES
ANY_JSON = st.recursive(
    LEAVES,
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(NAMES, children, max_size=4)
        | st.dictionaries(st.sampled_from(sorted(OPERATIONS)), children, min_size=1, max_size=1)
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
_PARTS = [
    copy.deepcopy(value_at(document, path)) for document in BUNDLED_DOCUMENTS for path in _list_paths(document) if path
]
_VALUES_BY_KEY: dict[str, list[Any]] = {}
for _document in BUNDLED_DOCUMENTS:
    for _path in _list_paths(_document):
        if _path and isinstance(_path[-1], str):
            _VALUES_BY_KEY.setdefault(_path[-1], []).append(value_at(_document, _path))
_SUBTREES = st.sampled_from(_PARTS).map(copy.deepcopy)
_NEW_VALUES = LEAVES | _VARIABLES | _OPERATIONS | _SUBTREES | ANY_JSON
_LIKELY_CHANGES = ("similar",) * 8


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """A bundled document with a few random changes."""
    document = copy.deepcopy(draw(st.sampled_from(BUNDLED_DOCUMENTS)))
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 4)))):
        path = draw(st.sampled_from([path for path in _list_paths(document) if path] or [()]))
        if not path:
            break
        _mutate(draw, document, path)
    return document


def _similar_values(key: str | int, value: Any) -> st.SearchStrategy[Any]:
    """Values of the kind that is valid in this place."""
    match value:
        case bool():
            return st.booleans() | st.sampled_from(({"empty": {"var": "note"}}, {"==": [{"var": "place"}, "Bodø"]}))
        case int() | float():
            return _INTEGERS | _FRACTIONS | st.integers(0, 60)
        case str():
            return _TEXTS | NAMES | st.text(max_size=12)
        case _ if key in _VALUES_BY_KEY:
            return st.sampled_from(_VALUES_BY_KEY[str(key)]).map(copy.deepcopy)
        case _:
            return _VARIABLES | _OPERATIONS | _SUBTREES


def _mutate(draw: st.DrawFn, document: Any, path: JsonPath) -> None:
    parent, key = value_at(document, path[:-1]), path[-1]
    value = parent[key]
    match draw(
        st.sampled_from((*_LIKELY_CHANGES, "delete", "replace", "double", "swap", "rename", "wrap", "operation"))
    ):
        case "similar":
            parent[key] = draw(_similar_values(key, value))
        case "delete":
            del parent[key]
        case "double" if isinstance(parent, list):
            parent.insert(int(key), copy.deepcopy(value))
        case "double":
            parent[draw(NAMES)] = copy.deepcopy(value)
        case "swap":
            other_path = draw(st.sampled_from([path for path in _list_paths(document) if path]))
            other_value = copy.deepcopy(value_at(document, other_path))
            value_at(document, other_path[:-1])[other_path[-1]] = copy.deepcopy(value)
            if other_path[: len(path)] != path and path[: len(other_path)] != other_path:
                parent[key] = other_value
        case "rename" if isinstance(parent, dict):
            parent[draw(NAMES)] = parent.pop(str(key))
        case "wrap":
            parent[key] = {draw(st.sampled_from(sorted(OPERATIONS))): draw(st.sampled_from(([value], value)))}
        case "operation" if isinstance(value, dict) and len(value) == 1:
            parent[key] = {draw(st.sampled_from(sorted(OPERATIONS))): next(iter(value.values()))}
        case _:
            parent[key] = draw(_NEW_VALUES)
