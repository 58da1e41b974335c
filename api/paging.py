"""Page tokens: where a list goes on, opaque to clients."""

import base64
import binascii
import json
from datetime import UTC, datetime
from uuid import UUID

from fastapi.exceptions import RequestValidationError

Position = tuple[datetime, UUID]


def token_after(position: Position) -> str:
    at, row_id = position
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(row_id)]).encode()).decode().rstrip("=")


def position_of(token: str) -> Position:
    try:
        at, row_id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment, UUID(row_id)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        fault = {
            "type": "page_token",
            "loc": ("query", "page_token"),
            "msg": "not a token that a list gave",
            "input": None,
        }
        raise RequestValidationError([fault]) from None
