"""What is wrong with a mapping document: all of it at once, each fault where it stands."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from stafett.domain.errors import StafettError
from stafett.domain.frozen import Frozen
from stafett.json_pointer import pointer_of_fault


class MappingFault(Frozen):
    """One fault, and what was expected instead."""

    pointer: str
    code: str
    detail: str


class InvalidMappingError(StafettError):
    """A document that cannot be used."""

    def __init__(self, faults: Iterable[MappingFault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"{first.pointer or 'The document'}: {first.detail}{more}")


class Refused(Exception):  # noqa: N818 - a part of an expression is refused, the reading goes on
    """Something in an expression is not as it must be."""

    def __init__(self, code: str, detail: str, *below: str | int) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.below = below


def faults_of(error: ValidationError, document: Any) -> list[MappingFault]:
    """Pydantic's findings in our shape; they quote no value."""
    return [
        MappingFault(
            pointer=pointer_of_fault(found["loc"], found["type"], document),
            code=found["type"],
            detail=_sentence(found["type"], found["loc"], found["msg"]),
        )
        for found in error.errors(include_url=False, include_input=False)
    ]


def _sentence(kind: str, place: tuple[str | int, ...], message: str) -> str:
    match kind:
        case "extra_forbidden":
            return f"“{place[-1]}” is not known here."
        case "missing":
            return f"“{place[-1]}” is missing."
        case _:
            return message.removeprefix("Value error, ") + ("" if message.endswith(".") else ".")
