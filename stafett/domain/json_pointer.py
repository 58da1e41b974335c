"""RFC 6901: where in a JSON document something stands."""

from collections.abc import Iterator, Sequence
from typing import Any

Step = str | int


def pointer(*steps: Step) -> str:
    return "".join(f"/{_escaped(step)}" for step in steps)


def pointer_of_fault(place: Sequence[Step], kind: str, document: object) -> str:
    """Where Pydantic found a fault; the alternatives of unions, which it names as it goes, are no steps."""
    return pointer(*_steps(place, kind, document))


def _steps(place: Sequence[Step], kind: str, value: Any) -> Iterator[Step]:
    for number, step in enumerate(place, start=1):
        if _leads_into(value, step):
            value = value[step]
            yield step
        elif kind == "missing" and number == len(place) and isinstance(value, dict):
            yield step


def _leads_into(value: object, step: Step) -> bool:
    return step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int)


def _escaped(step: Step) -> str:
    """JSON can spell half a character, UTF-8 cannot."""
    written = str(step).replace("~", "~0").replace("/", "~1")
    return written.encode(errors="replace").decode()
