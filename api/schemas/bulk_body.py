"""The two ways of submitting a batch: as JSON, which says everything, or as CSV, one line an item."""

import json
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from api.schemas.bulk import BulkStart, CsvQuery
from stafett.bulk.csv_format import parse_request
from stafett.domain.bulk import BulkRequest

JSON, CSV = "application/json", "text/csv"
_MOST_FAULTS = 100
DOCUMENTED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/BulkStart"}},
            CSV: {"schema": {"type": "string", "description": "What `failed.csv` is; `;` or `,`, in UTF-8."}},
        },
    }
}


class Submitted(NamedTuple):
    """A batch, and whether it is only to be looked at."""

    request: BulkRequest
    validate_only: bool


def submission(media_type: str, body: bytes, query: CsvQuery, own_org: str | None) -> Submitted:
    """What was sent, whichever way it was."""
    match media_type.partition(";")[0].strip().lower():
        case "application/json":
            start = _start(body)
            return Submitted(start.request, start.validate_only or query.validate_only)
        case "text/csv":
            request = parse_request(body, query.org_id or own_org or "", query.label)
            return Submitted(request, query.validate_only)
        case _:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _start(body: bytes) -> BulkStart:
    try:
        return BulkStart.model_validate_json(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()[:_MOST_FAULTS]]
        read = None if faults[0]["type"] == "json_invalid" else json.loads(body)
        raise RequestValidationError(faults, body=read) from None
