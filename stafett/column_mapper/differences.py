"""The differences between two mapping documents, by the names of their columns, rules and other parts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_EXPRESSION_FIELDS = frozenset({"value", "when", "required"})
_ORDER = "order"
_Path = tuple[str, ...]


class DocumentDifference(NamedTuple):
    """A part that differs, with its JSON in both documents; None where a document does not have it."""

    path: str
    before: str | None
    after: str | None


def compare_documents(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[DocumentDifference]:
    """List what differs. Columns, rules and options are compared by id or code, and expressions as a whole."""
    old, new = dict(_flatten((), before)), dict(_flatten((), after))
    return [
        DocumentDifference(" / ".join(path), old.get(path), new.get(path))
        for path in old | new
        if old.get(path) != new.get(path)
    ]


def _flatten(path: _Path, value: Any) -> Iterator[tuple[_Path, str]]:
    is_expression = (path[-1:] and path[-1] in _EXPRESSION_FIELDS) or path[:-1] == ("values",)
    names = [] if is_expression else _list_names(value)
    if names:
        yield (*path, _ORDER), ", ".join(names)
        for name, item in zip(names, value, strict=True):
            yield from _flatten((*path, name), item)
    elif isinstance(value, Mapping) and not is_expression:
        for name, item in value.items():
            yield from _flatten((*path, name), item)
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _list_names(value: Any) -> list[str]:
    """Return the ids or codes of a list's items, or nothing if they do not all have one."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return []
    names = [str(item.get("id") or item.get("code") or "") for item in value]
    return names if all(names) else []
