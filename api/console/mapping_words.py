"""Parts of a mapping document in words: the headings of its columns, and the labels and messages of its rules."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stafett.column_mapper.differences import DocumentDifference
from stafett.column_mapper.issues import MappingIssue
from stafett.column_mapper.json_positions import find_lines
from stafett.domain.export import Locale

_NAMED_PARTS = frozenset({"values", "taxonomies", "lookups"})
"""Parts whose fields have names that the document chooses."""

_LINE = re.compile(r"line (\d+), column \d+")
_ORDER = "order"


class PartName(NamedTuple):
    """A step of the way to a part: a field of the language, which the page translates, or the document's own name."""

    text: str
    is_field: bool


class NamedDifference(NamedTuple):
    """A part that differs between two documents, in words."""

    part: Sequence[PartName]
    before: str | None
    after: str | None


class NamedIssue(NamedTuple):
    """An issue with its part in words, and the line of the file if it is known."""

    part: Sequence[PartName]
    line: int | None
    code: str
    detail: str


def name_differences(
    differences: Iterable[DocumentDifference], before: Mapping[str, Any], after: Mapping[str, Any], language: Locale
) -> list[NamedDifference]:
    """Name the parts as the newer document does, or the older one if the newer has no such part."""
    named = []
    for each in differences:
        segments = each.path.split(" / ")
        documents = (after, before) if each.after is not None else (before, after)
        part = _name_part(segments, documents[0], language)
        values = (each.before, each.after)
        if segments[-1] == _ORDER:
            values = tuple(  # type: ignore[assignment]  # two documents
                value and _name_items(value.split(", "), segments[:-1], document, language)
                for value, document in zip(values, (before, after), strict=True)
            )
        named.append(NamedDifference(part, *values))
    return named


def name_issues(issues: Sequence[MappingIssue], content: bytes, language: Locale) -> list[NamedIssue]:
    """Name the parts of an uploaded document that have issues, and their lines."""
    text = content.decode(errors="replace")
    lines, document = find_lines(text, (issue.pointer for issue in issues)), _parse(text)
    return [
        NamedIssue(
            _name_part(_split_pointer(issue.pointer), document, language),
            _find_line(issue) or lines.get(issue.pointer),
            issue.code,
            issue.detail,
        )
        for issue in issues
    ]


def _parse(text: str) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _find_line(issue: MappingIssue) -> int | None:
    """Return the line that the parser names in a text that is not JSON."""
    match = _LINE.search(issue.detail) if issue.code == "not_json" else None
    return int(match[1]) if match else None


def _split_pointer(pointer: str) -> list[str]:
    return [segment.replace("~1", "/").replace("~0", "~") for segment in pointer.split("/")[1:]]


def _name_part(segments: Sequence[str], document: Any, language: Locale) -> list[PartName]:
    part, node, has_own_names = list[PartName](), document, False
    for segment in segments:
        if isinstance(node, list) and segment != _ORDER:
            item = _find_item(node, segment)
            part.append(PartName(_name_item(item, segment, language), is_field=False))
            node, has_own_names = item, False
        else:
            part.append(PartName(segment, is_field=not has_own_names))
            node = node.get(segment) if isinstance(node, Mapping) else None
            has_own_names = segment in _NAMED_PARTS
    return part


def _name_items(names: Iterable[str], segments: Sequence[str], document: Any, language: Locale) -> str:
    for segment in segments:
        document = _find_item(document, segment) if isinstance(document, list) else (document or {}).get(segment)
    items = document if isinstance(document, list) else []
    return ", ".join(_name_item(_find_item(items, name), name, language) for name in names)


def _find_item(items: Sequence[Any], segment: str) -> Any:
    """Find the item of a list with an index, an id or a code."""
    if segment.isdecimal() and int(segment) < len(items):
        return items[int(segment)]
    named = (item for item in items if isinstance(item, Mapping))
    return next((item for item in named if segment in {str(item.get("id")), str(item.get("code"))}), None)


def _name_item(item: Any, segment: str, language: Locale) -> str:
    """Return the heading, label or message of an item, or its id, or its number from 1."""
    if isinstance(item, Mapping):
        for field in ("header", "label", "message"):
            texts = item.get(field)
            if isinstance(texts, Mapping) and isinstance(texts.get(language), str):
                return str(texts[language])
        if name := item.get("id") or item.get("code"):
            return str(name)
    return str(int(segment) + 1) if segment.isdecimal() else segment
