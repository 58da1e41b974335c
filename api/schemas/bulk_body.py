"""The body of a bulk registration: JSON, or CSV with one item per line."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.exceptions import HTTPException

from api.field_errors import MAX_ERRORS, TruncatedValidationError
from api.request_body import JsonLimits
from api.schemas.bulk import BatchCreate, BatchCreateQuery
from stafett.bulk.csv_format import parse_request
from stafett.domain.bulk import MAX_ITEMS_PER_BATCH, BulkItemInput, BulkRequest
from stafett.domain.errors import InvalidRequestError, RequestIssue

JSON_MEDIA_TYPE, CSV_MEDIA_TYPE = "application/json", "text/csv"
_JSON_LIMITS = JsonLimits(depth=10, keys_per_object=100, values=300_000)
_ITEMS_PER_STEP = 200
"""Items that one call of Pydantic validates: it blocks all other threads for that long."""

_ITEMS_ADAPTER = TypeAdapter(tuple[BulkItemInput, ...])
_PLACEHOLDER_ITEM = BulkItemInput(mentor_id="-")
REQUEST_BODY_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/BatchCreate"}},
            CSV_MEDIA_TYPE: {
                "schema": {
                    "type": "string",
                    "description": "The columns of `failed.csv`; `;`, `,` or a tab between the cells; UTF-8.",
                }
            },
        },
    }
}


class BatchSubmission(NamedTuple):
    request: BulkRequest
    validate_only: bool


def parse_submission(
    media_type: str, body: bytes, query: BatchCreateQuery, default_org_id: str | None
) -> BatchSubmission:
    """Parse the body by its media type; the organisation and label of a CSV body come from the query."""
    match media_type.partition(";")[0].strip().lower():
        case "application/json":
            _check_query(query)
            batch = _parse_json(body)
            return BatchSubmission(batch.request, batch.validate_only or query.validate_only)
        case "text/csv":
            request = parse_request(body, query.org_id or default_org_id or "", query.label, query.corrects)
            return BatchSubmission(request, query.validate_only)
        case _:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _check_query(query: BatchCreateQuery) -> None:
    """Reject parameters that only a CSV body has, and which a JSON body would override without a word."""
    issues = [
        RequestIssue(f"query:{name}", "csv_only", "Give it in the JSON body: the parameter is for CSV only.")
        for name in ("label", "corrects")
        if getattr(query, name) is not None
    ]
    if issues:
        raise InvalidRequestError(issues)


class _ErrorCollector:
    """The first ``MAX_ERRORS`` validation errors, and the number of the others."""

    def __init__(self) -> None:
        self.errors: list[Any] = []
        self.omitted = 0

    def add(self, error: ValidationError, *, location: tuple[str, ...] = (), first_index: int | None = None) -> None:
        room = MAX_ERRORS - len(self.errors)
        if room > 0:
            details = error.errors(include_url=False, include_input=False)[:room]
            self.errors += [{**each, "loc": ("body", *location, *_shift_index(each, first_index))} for each in details]
        self.omitted += max(0, error.error_count() - max(0, room))


def _shift_index(error: ErrorDetails, first_index: int | None) -> tuple[int | str, ...]:
    """Return the location of an error in the list of all items."""
    match error["loc"]:
        case (int(index), *path) if first_index is not None:
            return (first_index + index, *path)
        case path:
            return path


def _parse_json(body: bytes) -> BatchCreate:
    _JSON_LIMITS.check(body)
    try:
        document: Any = from_json(body.removeprefix(BOM_UTF8))
    except ValueError:
        raise _describe_invalid_json(body) from None
    collector = _ErrorCollector()
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS_PER_BATCH:
        batch = _validate(document, collector)
    else:
        batch = _validate({**document, "items": [_PLACEHOLDER_ITEM]}, collector)
        valid_items = tuple(_iterate_valid_items(items, collector))
        batch = batch and batch.model_copy(update={"items": valid_items})
    if batch is None or collector.errors:
        raise TruncatedValidationError(collector.errors, body=document, omitted=collector.omitted)
    return batch


def _describe_invalid_json(body: bytes) -> RequestValidationError:
    """Describe where the JSON is not valid, as FastAPI does it for its own bodies."""
    location: tuple[str | int, ...] = ("body",)
    text = ""
    try:
        text = body.decode("utf-8-sig")
        json.loads(text)
    except json.JSONDecodeError as error:
        location = ("body", error.pos)
    except ValueError:  # not UTF-8
        pass
    issue = {"type": "json_invalid", "loc": location, "msg": "Invalid JSON", "input": None}
    return RequestValidationError([issue], body=text)


def _validate(document: Any, collector: _ErrorCollector) -> BatchCreate | None:
    """Validate the document; of a list that is too long no item is validated."""
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        document = {**document, "items": [_PLACEHOLDER_ITEM] * len(document["items"])}
    try:
        return BatchCreate.model_validate(document)
    except ValidationError as error:
        collector.add(error)
        return None


def _iterate_valid_items(items: list[Any], collector: _ErrorCollector) -> Iterator[BulkItemInput]:
    for first_index in range(0, len(items), _ITEMS_PER_STEP):
        try:
            yield from _ITEMS_ADAPTER.validate_python(items[first_index : first_index + _ITEMS_PER_STEP])
        except ValidationError as error:
            collector.add(error, location=("items",), first_index=first_index)
