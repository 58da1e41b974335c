"""The file of a batch, of which results name the lines, and the values that are wrong."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from stafett.cli.client import ApiError, FieldProblem, Json
from stafett.cli.options import read_input
from stafett.domain.activity_faults import decode_faults
from stafett.domain.bulk import BulkRequest, plan_items
from stafett.domain.bulk_status import ItemErrorCode
from stafett.domain.errors import InvalidRequestError, StafettError
from stafett.domain.export import Locale
from stafett.domain.reporting_period import OSLO

if TYPE_CHECKING:
    from stafett.domain.bulk import PlannedItem

_LINE, _HEADER = "line:", "line:1"
_ZIP_SIGNATURE = b"PK\x03\x04"
"""The first bytes of a workbook, which is a ZIP file."""

_FIELDS_BY_CODE: Mapping[str, Sequence[str]] = {
    ItemErrorCode.OVERLAPPING_ACTIVITY: ("starts_at", "duration_minutes"),
    ItemErrorCode.MENTOR_NOT_FOUND: ("mentor_id",),
    ItemErrorCode.MENTOR_INACTIVE: ("mentor_id",),
}


class Words(NamedTuple):
    """The command line's own words beside a text of the API in its language."""

    line: str
    item: str
    has: str
    nearest: str
    warning: str


_WORDS: Mapping[Locale, Words] = {
    "nb": Words("linje", "element", "filen har", "nærmest er", "Advarsel"),
    "nn": Words("linje", "element", "fila har", "nærast er", "Åtvaring"),
    "en": Words("line", "item", "the file has", "the nearest known one is", "Warning"),
}


class _Item(NamedTuple):
    """An item of the file: where it is, its values as the file has them, and its plan."""

    place: str
    values: Mapping[str, Any]
    planned: "PlannedItem"


class BatchFile:
    """A file with a batch, CSV or JSON, and its items if all of them can be read."""

    def __init__(self, content: bytes, body: Json | None, locale: Locale = "en") -> None:
        self.content = content
        self.words = _WORDS[locale]
        """The words beside texts of the API, which are in this language."""

        self.body = body
        """The object of a JSON file; None for CSV."""

        self._rows: dict[int, Mapping[str, str]] = {}
        try:
            self._items = self._read_csv() if body is None else _read_json(body, self.words.item)
        except (InvalidRequestError, ValidationError):
            self._items = []  # the API rejects the file, and names what is wrong

    def __len__(self) -> int:
        return len(self._items)

    def name_place(self, position: int) -> str | None:
        """Name the line of an item, or its number in a JSON file; None if the items could not be read."""
        return self._items[position].place if position < len(self._items) else None

    def quote_values(self, position: int, code: str) -> str:
        """Quote what the file has where an item has this error."""
        if position >= len(self._items):
            return ""
        _, values, planned = self._items[position]
        faults = decode_faults(planned.validation_error) if planned.validation_error else []
        fields = [fault.field for fault in faults] if code == ItemErrorCode.INVALID_ACTIVITY else _FIELDS_BY_CODE[code]
        return ", ".join(f"{name} {_quote(values[name])}" for name in dict.fromkeys(fields) if _has(values, name))

    def name_mentor(self, position: int) -> str | None:
        """Name the peer mentor of an item as the file does, if it does."""
        return self._items[position].values.get("mentor_name") if position < len(self._items) else None

    def quote_start(self, position: int) -> str:
        """Quote the start of an item as the file has it."""
        return f"starts_at {_quote(self._items[position].values['starts_at'])}"

    def find_starts_after(self, now: datetime) -> list[int]:
        """Find the positions of the valid items that start after this time."""
        return [position for position, start in self._list_starts() if start > now]

    def find_shared_events(self, positions: Iterable[int]) -> list[list[int]]:
        """Group those of the items that are at the same event on the same day, as far as they are several."""
        selected, groups = set(positions), defaultdict[tuple[object, date], list[int]](list)
        for position, start in self._list_starts():
            if position in selected and (event := self._items[position].planned.event):
                groups[event, start.astimezone(OSLO).date()].append(position)
        return [group for group in groups.values() if len(group) > 1]

    def quote_rejected_values(self, error: ApiError) -> ApiError:
        """Add what the file has to an error of the API in lines of the file."""
        fields = [FieldProblem(field.pointer, self._add_value(field)) for field in error.fields]
        message = str(error)
        if len(fields) == 1:
            before, after = (f"{each.pointer}: {each.detail}" for each in (error.fields[0], fields[0]))
            message = message.replace(before, after)
        if any(field.pointer == _HEADER for field in fields):
            message = f"{message} `stafett bulk template` prints a file with all columns."
        return ApiError(message, error.status, fields, error.code, error.detail)

    def _add_value(self, field: FieldProblem) -> str:
        if field.pointer == _HEADER:
            return self._name_column(field.detail)
        place, _, name = field.pointer.partition("/")
        number = place.removeprefix(_LINE)
        row = self._rows.get(int(number), {}) if place.startswith(_LINE) and number.isdecimal() else {}
        if not _has(row, name):
            return field.detail
        return f"{field.detail.removesuffix('.')}; {self.words.has} {_quote(row[name])}"

    def _name_column(self, detail: str) -> str:
        """Name the unknown column whose number an error of the header has, and the nearest known one."""
        from stafett.bulk.csv_format import COLUMNS
        from stafett.csv_reader import list_column_names

        number = re.search(r"\b\d+\b", detail)
        names = list_column_names(self.content)
        index = int(number.group()) - 1 if number else -1
        if not 0 <= index < len(names) or names[index].lower() in COLUMNS:
            return detail
        nearest = get_close_matches(names[index].lower(), COLUMNS, n=1)
        hint = f"; {self.words.nearest} {nearest[0]}" if nearest else ""
        return f"{detail.removesuffix('.')}: {self.words.has} {_quote(names[index])}{hint}"

    def _list_starts(self) -> list[tuple[int, datetime]]:
        return [
            (position, datetime.fromisoformat(item.planned.starts_at))
            for position, item in enumerate(self._items)
            if item.planned.starts_at
        ]

    def _read_csv(self) -> list[_Item]:
        from stafett.bulk.csv_format import COLUMNS, REQUIRED_COLUMNS, parse_request
        from stafett.csv_reader import iterate_rows

        self._rows.update(iterate_rows(self.content, COLUMNS, REQUIRED_COLUMNS))
        planned = plan_items(parse_request(self.content, "org", None))
        if len(planned) != len(self._rows):
            return []
        word = self.words.line
        return [
            _Item(f"{word} {line}", row, item) for (line, row), item in zip(self._rows.items(), planned, strict=True)
        ]


def read_batch_file(file: Path, locale: Locale = "en") -> BatchFile:
    """Read the file, and its object if it is JSON, whose fields the options override."""
    content = read_input(file)
    if content.startswith(_ZIP_SIGNATURE):
        message = f"{file} is not text but an Excel workbook: save it as CSV UTF-8 in Excel, and use that file."
        raise StafettError(message)
    if file.suffix.lower() != ".json" and not content.lstrip().startswith(b"{"):
        return BatchFile(content, None, locale)
    try:
        body = json.loads(content)
    except ValueError:
        raise StafettError(f"{file} is not valid JSON.") from None
    if not isinstance(body, dict):
        raise StafettError(f"{file} does not contain a JSON object.")
    return BatchFile(content, body, locale)


def _read_json(body: Json, word: str) -> list[_Item]:
    request = BulkRequest.model_validate({"org_id": "org", **body})
    shared: Json = body.get("activity", {})
    return [
        _Item(f"{word} {number}", shared | {"mentor_id": item.mentor_id} | dict(item.overrides), planned)
        for number, (item, planned) in enumerate(zip(request.items, plan_items(request), strict=True), start=1)
    ]


def _has(values: Mapping[str, Any], name: str) -> bool:
    """Return whether the file has a value there: an empty cell is none."""
    return values.get(name) not in {None, ""}


def _quote(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
