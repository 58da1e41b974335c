"""Batches as CSV: what failed, to be corrected in a spreadsheet and sent again, and what comes back from there."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from stafett.domain.bulk import MAX_ITEMS, BulkItemInput, BulkRequest, ItemOutcome
from stafett.domain.errors import InvalidRequestError, RequestIssue
from stafett.domain.proxy_activity import ACTIVITY_FIELDS, REQUIRED_ACTIVITY_FIELDS, ActivityDefaults
from stafett.domain.reporting_period import OSLO

if TYPE_CHECKING:
    import _csv

COLUMNS = ("client_ref", "mentor_id", *ACTIVITY_FIELDS, "error_code", "error_message")
_NEEDED = ("mentor_id", *REQUIRED_ACTIVITY_FIELDS)
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_NUMBERS = frozenset({"duration_minutes", "participants", "new_participants"})
_CHOICES = frozenset({"in_person", "in_norway"})
_CHOSEN: Mapping[str, bool] = MappingProxyType(
    dict.fromkeys(("true", "ja", "yes", "sann", "1"), True) | dict.fromkeys(("false", "nei", "no", "usann", "0"), False)
)
"""As people say it, and as a Norwegian Excel writes it."""

_WHOLE_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
_DAY_FIRST = re.compile(
    r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4}) (?P<hour>\d{1,2}):(?P<minute>\d\d)", re.ASCII
)
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d) (?P<hour>\d\d):(?P<minute>\d\d)(:00)?", re.ASCII
)
# With the apostrophes that are there already, so that what is armed again is what it was.
_ARMED, _DISARMED = re.compile(r"'*[=+\-@\t\r\x00]"), re.compile(r"'+[=+\-@\t\r\x00]")
_MOST_FAULTS = 100


class FailedItem(NamedTuple):
    """An item that was not registered, with everything that was said of it."""

    outcome: ItemOutcome
    said: Mapping[str, Any]


def failed_csv(items: Iterable[FailedItem]) -> str:
    """As a Norwegian Excel opens it; nothing in it is a formula."""
    file = io.StringIO(newline="")
    file.write(_BYTE_ORDER_MARK)
    writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for outcome, said in items:
        error = (outcome.error.code, outcome.error.message) if outcome.error else ("", "")
        values = (said.get(name) for name in ACTIVITY_FIELDS)
        writer.writerow([_cell(value) for value in (outcome.client_ref, outcome.mentor_id, *values, *error)])
    return file.getvalue()


def request_from(content: bytes, org_id: str, label: str | None) -> BulkRequest:
    """Each line an item that says everything itself; what makes no sense is told by its line."""
    lines, faults = list[BulkItemInput](), list[RequestIssue]()
    seen: dict[str, int] = {}
    for number, row in _rows(content):
        try:
            item = _item(row)
        except ValidationError as error:
            faults += [RequestIssue(_pointer(number, one["loc"]), one["type"], one["msg"]) for one in error.errors()]
        else:
            lines.append(item)
            if seen.setdefault(item.effective_client_ref, number) != number:
                detail = (
                    f"Line {seen[item.effective_client_ref]} has the same; without a client_ref it is the mentor's id"
                )
                faults.append(RequestIssue(f"line:{number}/client_ref", "not_unique", detail))
        if len(lines) > MAX_ITEMS:
            faults.append(RequestIssue(f"line:{number}", "too_long", f"A batch has at most {MAX_ITEMS} items"))
        if len(faults) >= _MOST_FAULTS or len(lines) > MAX_ITEMS:
            break
    if not faults and not lines:
        faults.append(RequestIssue("line:2", "too_short", "There is no item below the columns' names"))
    if faults:
        raise InvalidRequestError(faults)
    return BulkRequest(org_id=org_id, label=label, activity=ActivityDefaults(), items=tuple(lines))


def _pointer(number: int, place: tuple[int | str, ...]) -> str:
    """The line and the name of the column; what is said of the activity is below the item's overrides."""
    return f"line:{number}/{place[1] if place[0] == 'overrides' else place[0]}"


def _rows(content: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Every line that is not empty, by the names of the columns."""
    reader = _reader(content)
    try:
        names = _names(next(reader, []))
        for cells in reader:
            if any(cells):
                yield reader.line_num, _row(reader.line_num, names, cells)
    except csv.Error as error:
        raise InvalidRequestError(
            [RequestIssue(f"line:{reader.line_num}", "csv", f"This is no CSV: {error}")]
        ) from None


def _reader(content: bytes) -> "_csv.Reader":
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidRequestError([RequestIssue(f"line:{line}", "encoding", "The text is not UTF-8")]) from None
    first, _, _ = text.partition("\n")
    return csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first), strict=True)


def _delimiter(header: str) -> str:
    return next((mark for mark in ";\t" if mark in header), ",")


def _names(header: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    unknown = (place for place, name in enumerate(names, start=1) if name not in COLUMNS)
    missing = (name for name in _NEEDED if name not in names)
    faults = [
        RequestIssue("line:1", "unknown_column", f"Column {place} has a name that is none of ours") for place in unknown
    ]
    faults += [RequestIssue("line:1", "missing_column", f"The column {name} is missing") for name in missing]
    if len(set(names)) < len(names):
        faults.append(RequestIssue("line:1", "repeated_column", "A column is there twice"))
    if faults:
        raise InvalidRequestError(faults[:_MOST_FAULTS])
    return names


def _row(number: int, names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(names):
        detail = f"{len(cells)} cells under {len(names)} columns"
        raise InvalidRequestError([RequestIssue(f"line:{number}", "cells", detail)])
    return {name: _armed(cell) for name, cell in zip(names, cells, strict=True)}


def _item(row: Mapping[str, str]) -> BulkItemInput:
    return BulkItemInput.model_validate(
        {
            "mentor_id": row["mentor_id"].strip(),
            "client_ref": row.get("client_ref") or None,
            "overrides": {name: _value(name, row[name]) for name in ACTIVITY_FIELDS if name in row},
        }
    )


def _value(name: str, cell: str) -> str | int | bool | None:
    """What can be read as what it should be; anything else stays as it is, and is the item's own problem."""
    said = cell.strip()
    if name in _NUMBERS:
        return int(said) if _WHOLE_NUMBER.fullmatch(said) else said or None
    if name in _CHOICES:
        return _CHOSEN.get(said.lower(), said or None)
    if name == "starts_at":
        return _with_offset(said) or None
    if name == "note":
        return cell or None
    return cell


def _with_offset(said: str) -> str:
    """A local time of day is Oslo's."""
    found = _DAY_FIRST.fullmatch(said) or _YEAR_FIRST.fullmatch(said)
    if found is None:
        return said
    year, month, day, hour, minute = (int(found[part]) for part in ("year", "month", "day", "hour", "minute"))
    try:
        return datetime(year, month, day, hour, minute, tzinfo=OSLO).isoformat()
    except ValueError:
        return said


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            text = str(value)
            return f"'{text}" if _ARMED.match(text) else text


def _armed(cell: str) -> str:
    return cell[1:] if _DISARMED.match(cell) else cell
