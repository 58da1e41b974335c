"""Page tokens: where a list goes on, opaque to clients."""

import base64
import json
from datetime import UTC, datetime
from uuid import UUID

from fastapi.exceptions import RequestValidationError

Position = tuple[datetime, UUID]
LONGEST_TOKEN = 200
"""Ours are about half as long; what is longer need not be looked into."""


def token_after(position: Position) -> str:
    at, row_id = position
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(row_id)]).encode()).decode().rstrip("=")


def position_of(token: str) -> Position:
    try:
        return _read(token)
    except (ValueError, TypeError, AttributeError, OverflowError):
        fault = {
            "type": "page_token",
            "loc": ("query", "page_token"),
            "msg": "not a token that a list gave",
            "input": None,
        }
        raise RequestValidationError([fault]) from None


def _read(token: str) -> Position:
    if len(token) > LONGEST_TOKEN:
        raise ValueError("too long")
    at, row_id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError("no moment in time")
    return moment.astimezone(UTC), UUID(row_id)
