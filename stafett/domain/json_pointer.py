"""JSON pointers (RFC 6901) to the location of a validation error."""

from collections.abc import Iterator, Sequence
from typing import Any

PathSegment = str | int


def format_pointer(*segments: PathSegment) -> str:
    return "".join(f"/{_escape(segment)}" for segment in segments)


def pointer_from_error(path: Sequence[PathSegment], error_type: str, document: object) -> str:
    """Convert the location of a Pydantic error into a pointer, without the union alternatives that Pydantic adds."""
    return format_pointer(*_resolve_segments(path, error_type, document))


def _resolve_segments(path: Sequence[PathSegment], error_type: str, value: Any) -> Iterator[PathSegment]:
    for number, segment in enumerate(path, start=1):
        if _has_segment(value, segment):
            value = value[segment]
            yield segment
        elif error_type == "missing" and number == len(path) and isinstance(value, dict):
            yield segment


def _has_segment(value: object, segment: PathSegment) -> bool:
    return segment in value if isinstance(value, dict) else isinstance(value, list) and isinstance(segment, int)


def _escape(segment: PathSegment) -> str:
    """Escape a segment. JSON text can contain an unpaired surrogate, which UTF-8 cannot encode."""
    escaped = str(segment).replace("~", "~0").replace("/", "~1")
    return escaped.encode(errors="replace").decode()
