"""The body of a bulk registration: JSON, or CSV with one item per line."""

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
                "schema": {
                    "type": "string",
                    "description": "The columns of `failed.csv`; `;` or `,` as separator; UTF-8.",
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
            batch = _parse_json(body)
            return BatchSubmission(batch.request, batch.validate_only or query.validate_only)
        case "text/csv":
            request = parse_request(body, query.org_id or default_org_id or "", query.label)
            return BatchSubmission(request, query.validate_only)
        case _:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _parse_json(body: bytes) -> BatchCreate:
    try:
        return BatchCreate.model_validate_json(body)
    except ValidationError as error:
        errors = [{**issue, "loc": ("body", *issue["loc"])} for issue in error.errors()[:_MAX_ERRORS]]
        document = None if errors[0]["type"] == "json_invalid" else json.loads(body)
        raise RequestValidationError(errors, body=document) from None
