"""Scans the XML parts of a workbook in constant memory, before openpyxl loads them.

It also collects list validations: Excel stores those that refer to another sheet in an extension that openpyxl skips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from xml.etree.ElementTree import ParseError, XMLParser

_MAX_ELEMENTS = 2_000_000
_CHUNK_BYTES = 64 * 1024


class UnsafeWorkbookError(Exception):
    """A workbook that is too large, or that no spreadsheet program has written."""


@dataclass(frozen=True)
class ListValidation:
    """A data validation of type list: the ranges that it applies to, and the formula of its values."""

    ranges: str
    formula: str


class XmlScanner:
    """Limits the number of XML elements of a workbook, and collects the list validations of each part."""

    def __init__(self) -> None:
        self._remaining_elements = _MAX_ELEMENTS

    def find_lists(self, part: IO[bytes]) -> list[ListValidation]:
        """Find the lists in a part, up to where it stops being XML, which is also how far openpyxl would read it."""
        collector = _ListCollector(self._remaining_elements)
        parser = XMLParser(target=collector)  # noqa: S314 - the collector refuses entities, builds no tree and counts
        try:
            for chunk in _read_chunks(part):
                parser.feed(chunk)
        except ParseError:
            pass
        self._remaining_elements = collector.remaining_elements
        return collector.lists


def _read_chunks(part: IO[bytes]) -> Iterator[bytes]:
    while chunk := part.read(_CHUNK_BYTES):
        yield chunk


class _ListCollector:
    """The target of the XML parser, which defines the names of the public methods."""

    def __init__(self, remaining_elements: int) -> None:
        self.remaining_elements = remaining_elements
        self.lists: list[ListValidation] = []
        self._attributes: dict[str, str] | None = None
        self._text: list[str] = []

    def doctype(self, *_: object) -> None:
        raise UnsafeWorkbookError("it has a document type declaration, which no spreadsheet program writes")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.remaining_elements -= 1
        if self.remaining_elements < 0:
            raise UnsafeWorkbookError(f"it has more than {_MAX_ELEMENTS} XML elements")
        self._text.clear()
        if _local_name(tag) == "dataValidation":
            self._attributes = dict(attributes)

    def data(self, text: str) -> None:
        if self._attributes is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if self._attributes is None:
            return
        match _local_name(tag):
            case "formula1" | "f" if text := "".join(self._text):
                self._attributes.setdefault("formula", text)
            case "sqref":
                self._attributes["sqref"] = "".join(self._text)
            case "dataValidation":
                self._add_list(self._attributes)
                self._attributes = None
            case _:
                pass
        self._text.clear()

    def close(self) -> None:
        pass

    def _add_list(self, attributes: dict[str, str]) -> None:
        if attributes.get("type") == "list" and attributes.get("formula"):
            self.lists.append(ListValidation(attributes.get("sqref", ""), attributes["formula"].strip()))


def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2]
