"""The two ways of submitting a batch: as JSON, which says everything, or as CSV, one line an item."""

import json
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from api.schemas.bulk import BatchCreate, BatchCreateQuery
from stafett.bulk.csv_format import parse_request
from stafett.domain.bulk import BulkRequest

JSON_MEDIA_TYPE, CSV_MEDIA_TYPE = "application/json", "text/csv"
_MAX_ERRORS = 100
REQUEST_BODY_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/BatchCreate"}},
            CSV_MEDIA_TYPE: {
                "schema": {"type": "string", "description": "What `failed.csv` is; `;` or `,`, in UTF-8."}
            },
        },
    }
}


class BatchSubmission(NamedTuple):
    """A batch, and whether it is only to be looked at."""

    request: BulkRequest
    validate_only: bool


def parse_submission(
    media_type: str, body: bytes, query: BatchCreateQuery, default_org_id: str | None
) -> BatchSubmission:
    """What was sent, whichever way it was."""
    match media_type.partition(";")[0].strip().lower():
        case "application/json":
            start = _parse_json(body)
            return BatchSubmission(start.request, start.validate_only or query.validate_only)
        case "text/csv":
            request = parse_request(body, query.org_id or default_org_id or "", query.label)
            return BatchSubmission(request, query.validate_only)
        case _:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _parse_json(body: bytes) -> BatchCreate:
    try:
        return BatchCreate.model_validate_json(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()[:_MAX_ERRORS]]
        read = None if faults[0]["type"] == "json_invalid" else json.loads(body)
        raise RequestValidationError(faults, body=read) from None
