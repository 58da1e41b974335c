"""Looks through the parts of a workbook before anything is built of them, in memory that does not grow with them.

What openpyxl leaves out is gathered on the way: Excel writes lists that stand on another sheet where it does not look.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from xml.etree.ElementTree import ParseError, XMLParser

_MOST_ELEMENTS = 2_000_000
_CHUNK = 64 * 1024


class UnfitPartError(Exception):
    """A part that would take too much, or that no spreadsheet program has written."""


@dataclass(frozen=True)
class AllowedList:
    """A data validation of type list: where it holds, and the formula that gives its values."""

    cells: str
    formula: str


class Sweep:
    """Counts the elements of all parts, and gathers each part's lists."""

    def __init__(self) -> None:
        self._left = _MOST_ELEMENTS

    def lists_in(self, part: IO[bytes]) -> list[AllowedList]:
        """Up to where the part stops being XML: an image stops at once, and openpyxl comes no further either."""
        reading = _Reading(self._left)
        parser = XMLParser(target=reading)  # noqa: S314 - this is the guard: no entities, no tree, counted
        try:
            for chunk in _chunks(part):
                parser.feed(chunk)
        except ParseError:
            pass
        self._left = reading.left
        return reading.lists


def _chunks(part: IO[bytes]) -> Iterator[bytes]:
    while chunk := part.read(_CHUNK):
        yield chunk


class _Reading:
    """What the XML parser tells as it goes; the names are the parser's."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.lists: list[AllowedList] = []
        self._said: dict[str, str] | None = None
        self._text: list[str] = []

    def doctype(self, *_: object) -> None:
        raise UnfitPartError("it has a document type, which no spreadsheet program writes")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.left -= 1
        if self.left < 0:
            raise UnfitPartError(f"it has more than {_MOST_ELEMENTS} cells and other elements")
        self._text.clear()
        if _name(tag) == "dataValidation":
            self._said = dict(attributes)

    def data(self, text: str) -> None:
        if self._said is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if self._said is None:
            return
        match _name(tag):
            case "formula1" | "f" if text := "".join(self._text):
                self._said.setdefault("formula", text)
            case "sqref":
                self._said["sqref"] = "".join(self._text)
            case "dataValidation":
                self._keep(self._said)
                self._said = None
            case _:
                pass
        self._text.clear()

    def close(self) -> None:
        pass

    def _keep(self, said: dict[str, str]) -> None:
        if said.get("type") == "list" and said.get("formula"):
            self.lists.append(AllowedList(said.get("sqref", ""), said["formula"].strip()))


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]
