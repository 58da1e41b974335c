"""RFC 6901: where in a JSON document something stands."""

from collections.abc import Iterator, Sequence
from typing import Any

PathSegment = str | int


def format_pointer(*segments: PathSegment) -> str:
    return "".join(f"/{_escape(step)}" for step in segments)


def pointer_from_error(path: Sequence[PathSegment], error_type: str, document: object) -> str:
    """Where Pydantic found a fault; the alternatives of unions, which it names as it goes, are no steps."""
    return format_pointer(*_resolve_segments(path, error_type, document))


def _resolve_segments(path: Sequence[PathSegment], error_type: str, value: Any) -> Iterator[PathSegment]:
    for number, step in enumerate(path, start=1):
        if _has_segment(value, step):
            value = value[step]
            yield step
        elif error_type == "missing" and number == len(path) and isinstance(value, dict):
            yield step


def _has_segment(value: object, segment: PathSegment) -> bool:
    return segment in value if isinstance(value, dict) else isinstance(value, list) and isinstance(segment, int)


def _escape(segment: PathSegment) -> str:
    """JSON can spell half a character, UTF-8 cannot."""
    written = str(segment).replace("~", "~0").replace("/", "~1")
    return written.encode(errors="replace").decode()
