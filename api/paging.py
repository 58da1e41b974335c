"""Page tokens: where a list goes on, opaque to clients."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi.exceptions import RequestValidationError

Position = tuple[datetime, UUID]
LONGEST_TOKEN = 200
"""Ours are about half as long; what is longer need not be looked into."""

_LARGEST_SEQ = 2**63 - 1


def token_after(position: Position) -> str:
    at, row_id = position
    return _written([at.isoformat(), str(row_id)])


def position_of(token: str) -> Position:
    with _refused():
        at, row_id = _read(token)
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no moment in time")
        return moment.astimezone(UTC), UUID(row_id)


def token_after_seq(seq: int) -> str:
    return _written([seq])


def seq_of(token: str) -> int:
    """Where a list of events goes on, which is in the order of their chain."""
    with _refused():
        (seq,) = _read(token)
        if type(seq) is not int or not 0 < seq <= _LARGEST_SEQ:
            raise ValueError("no event has this number")
        return seq


def _written(parts: list[str] | list[int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _read(token: str) -> list[Any]:
    if len(token) > LONGEST_TOKEN:
        raise ValueError("too long")
    parts: list[Any] = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return parts


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError, OverflowError):
        fault = {
            "type": "page_token",
            "loc": ("query", "page_token"),
            "msg": "not a token that a list gave",
            "input": None,
        }
        raise RequestValidationError([fault]) from None
