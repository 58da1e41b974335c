"""Batches as CSV: renders failed items for correction in a spreadsheet, and parses submitted files."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from stafett.bulk.item_messages import describe_item_error
from stafett.csv_reader import iterate_rows
from stafett.domain.activity_faults import read_limit
from stafett.domain.bulk import MAX_ITEMS_PER_BATCH, BulkItemInput, BulkRequest, ItemOutcome
from stafett.domain.errors import InvalidRequestError, RequestIssue
from stafett.domain.export import Locale
from stafett.domain.fields import read_message
from stafett.domain.formula_text import FORMULA_START
from stafett.domain.proxy_activity import ACTIVITY_FIELDS, REQUIRED_ACTIVITY_FIELDS
from stafett.domain.reporting_period import OSLO, add_oslo_offset

TEMPLATE_COLUMNS = ("client_ref", "mentor_id", *ACTIVITY_FIELDS, "mentor_name")
COLUMNS = (*TEMPLATE_COLUMNS, "error_code", "error_message")
REQUIRED_COLUMNS = ("mentor_id", *REQUIRED_ACTIVITY_FIELDS)
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_INTEGER_COLUMNS = frozenset({"duration_minutes", "participants", "new_participants"})
_BOOLEAN_COLUMNS = frozenset({"in_person", "in_norway"})
_BOOLEAN_BY_TEXT: Mapping[str, bool] = MappingProxyType(
    dict.fromkeys(("true", "ja", "yes", "sann", "1"), True) | dict.fromkeys(("false", "nei", "no", "usann", "0"), False)
)
"""The words that users type, and those that a Norwegian Excel writes."""

_WHOLE_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
# Leading apostrophes are matched too, because reading removes one of them.
_FORMULA_LIKE = re.compile(f"'*{FORMULA_START}")


class FailedItem(NamedTuple):
    """An item that was not registered, with all its activity fields."""

    outcome: ItemOutcome
    activity_fields: Mapping[str, Any]
    mentor_name: str = ""
    faults: str | None = None
    """What is wrong with its activity, as ``encode_faults`` returns it."""


def render_failed_csv(items: Iterable[FailedItem], locale: Locale = "en") -> str:
    """Render the items as a CSV file that a Norwegian Excel opens, with formulas escaped and times in Europe/Oslo."""
    return _render_csv(COLUMNS, (_list_cells(item, locale) for item in items))


def render_template(mentors: Iterable[tuple[str, str]]) -> str:
    """Render a CSV file to fill in, with a line for each of these ids and names of peer mentors."""
    empty = [""] * len(ACTIVITY_FIELDS)
    return _render_csv(TEMPLATE_COLUMNS, (("", mentor_id, *empty, name) for mentor_id, name in mentors))


def _render_csv(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO(newline="")
    file.write(_BYTE_ORDER_MARK)
    writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_format_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _list_cells(item: FailedItem, locale: Locale) -> Iterable[object]:
    outcome, fields, mentor_name, _faults = item
    yield from (outcome.client_ref, outcome.mentor_id)
    yield from (
        _format_start(fields.get(name)) if name == "starts_at" else fields.get(name) for name in ACTIVITY_FIELDS
    )
    yield mentor_name
    if outcome.error:
        yield from (outcome.error.code, describe_item_error(outcome.error.code, item.faults, locale))
    else:
        yield from ("", "")


def parse_request(content: bytes, org_id: str, label: str | None, corrects: UUID | None = None) -> BulkRequest:
    """Parse a file in which each line is an item with all its fields; issues point to the line and the column.

    Lines that are not items are issues of the request, so that all errors of the file are reported together.
    """
    items, issues = dict[int, BulkItemInput](), list[RequestIssue]()
    for count, (number, row) in enumerate(iterate_rows(content, COLUMNS, REQUIRED_COLUMNS), start=1):
        if count > MAX_ITEMS_PER_BATCH:
            detail = f"A batch has at most {MAX_ITEMS_PER_BATCH} items"
            issues.append(RequestIssue(f"line:{number}", "too_long", detail, MAX_ITEMS_PER_BATCH))
            raise InvalidRequestError(issues)
        try:
            items[number] = _parse_item(row)
        except ValidationError as error:
            issues += _list_cell_issues(number, error)
    if not issues and not items:
        issues.append(RequestIssue("line:2", "too_short", "There is no item below the header"))
    if not items:
        raise InvalidRequestError(issues)
    return BulkRequest.from_lines(items, issues, org_id=org_id, label=label, corrects=corrects)


def _list_cell_issues(line: int, error: ValidationError) -> list[RequestIssue]:
    """List one issue for each cell: of a value that may have several types, that of the text which a cell is."""
    issues: dict[str, RequestIssue] = {}
    for details in error.errors():
        pointer = _build_pointer(line, details["loc"])
        if pointer not in issues or details["type"].startswith("string"):
            issues[pointer] = RequestIssue(pointer, details["type"], read_message(details), read_limit(details))
    return list(issues.values())


def _build_pointer(line: int, location: tuple[int | str, ...]) -> str:
    """Return a pointer with line and column; the activity's fields are located in the item's overrides."""
    return f"line:{line}/{location[1] if location[0] == 'overrides' else location[0]}"


def _parse_item(row: Mapping[str, str]) -> BulkItemInput:
    return BulkItemInput.model_validate(
        {
            "mentor_id": row["mentor_id"].strip(),
            "client_ref": row.get("client_ref") or None,
            "overrides": {
                name: _parse_value(name, row[name])
                for name in ACTIVITY_FIELDS
                if name in row and not (name == "event_id" and not row[name].strip())
            },
        }
    )


def _parse_value(column: str, cell: str) -> str | int | bool | None:
    """Convert the cell to its column's type; validation of the item reports a cell that cannot be converted."""
    text = cell.strip()
    if column in _INTEGER_COLUMNS:
        return int(text) if _WHOLE_NUMBER.fullmatch(text) else text or None
    if column in _BOOLEAN_COLUMNS:
        return _BOOLEAN_BY_TEXT.get(text.lower(), text or None)
    return _parse_text(column, cell)


def _parse_text(column: str, cell: str) -> str | None:
    text = cell.strip()
    match column:
        case "starts_at":
            return add_oslo_offset(text) or None
        case "event_id":
            return text
        case "note":
            return cell or None
        case _:
            return cell


def _format_start(value: object) -> object:
    """Format an instant as a time in Europe/Oslo; return it unchanged if reading that would give another instant."""
    try:
        instant = datetime.fromisoformat(str(value))
        text = f"{instant.astimezone(OSLO):%d.%m.%Y %H:%M}"
        is_same = datetime.fromisoformat(add_oslo_offset(text)) == instant
    except (ValueError, OverflowError, TypeError):
        return value
    return text if is_same else value


def _format_cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            text = str(value)
            return f"'{text}" if _FORMULA_LIKE.match(text) else text
