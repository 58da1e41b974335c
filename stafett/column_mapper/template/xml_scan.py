"""Scans the XML parts of a workbook in constant memory, before openpyxl loads them.

It also collects list validations: Excel stores those that refer to another sheet in an extension that openpyxl skips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from xml.etree.ElementTree import ParseError, XMLParser

_MAX_ELEMENTS, _MAX_FEATURES, _MAX_RANGES = 2_000_000, 10_000, 20_000
_FEATURE_TAGS = frozenset(
    {"brk", "cfRule", "conditionalFormatting", "customWorkbookView", "customSheetView", "dataValidation"}
    | {"definedName", "filterColumn", "hyperlink", "inputCells", "mergeCell", "protectedRange", "scenario", "tablePart"}
)
"""Elements that take much longer to read than cells, and of which a template has few."""

_CHUNK_BYTES = 64 * 1024


class UnsafeWorkbookError(Exception):
    """A workbook that is too large, or that no spreadsheet program has written."""


@dataclass(frozen=True)
class ListValidation:
    """A data validation of type list: the ranges that it applies to, and the formula of its values."""

    ranges: str
    formula: str


class XmlScanner:
    """Limits the XML elements of a workbook, and collects the list validations of each part."""

    def __init__(self) -> None:
        self._budget = _ElementBudget()

    def find_lists(self, part: IO[bytes]) -> list[ListValidation]:
        """Find the lists in a part, up to where it stops being XML, which is also how far openpyxl would read it."""
        collector = _ListCollector(self._budget)
        parser = XMLParser(target=collector)  # noqa: S314 - the collector refuses entities, builds no tree and counts
        try:
            for chunk in _read_chunks(part):
                parser.feed(chunk)
        except ParseError:
            pass
        return collector.lists


def _read_chunks(part: IO[bytes]) -> Iterator[bytes]:
    while chunk := part.read(_CHUNK_BYTES):
        yield chunk


class _ElementBudget:
    """How many more elements a workbook may have."""

    def __init__(self) -> None:
        self._elements, self._features, self._ranges = _MAX_ELEMENTS, _MAX_FEATURES, _MAX_RANGES

    def take_element(self, name: str) -> None:
        self._elements -= 1
        self._features -= name in _FEATURE_TAGS
        if self._elements < 0:
            raise UnsafeWorkbookError(f"it has more than {_MAX_ELEMENTS} XML elements")
        if self._features < 0:
            raise UnsafeWorkbookError(f"it has more than {_MAX_FEATURES} data validations, links and formatting rules")

    def take_ranges(self, ranges: str) -> None:
        self._ranges -= ranges.count(" ") + 1
        if self._ranges < 0:
            raise UnsafeWorkbookError(f"its data validations have more than {_MAX_RANGES} ranges")


class _ListCollector:
    """The target of the XML parser, which defines the names of the public methods."""

    def __init__(self, budget: _ElementBudget) -> None:
        self._budget = budget
        self.lists: list[ListValidation] = []
        self._attributes: dict[str, str] | None = None
        self._text: list[str] = []

    def doctype(self, *_: object) -> None:
        raise UnsafeWorkbookError("it has a document type declaration, which no spreadsheet program writes")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local_name(tag)
        self._budget.take_element(name)
        self._text.clear()
        if name == "dataValidation":
            self._budget.take_ranges(attributes.get("sqref", ""))
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
                self._budget.take_ranges(self._attributes["sqref"])
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
