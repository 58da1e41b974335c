"""Lists, as every resource has them: what is asked for, and where a list goes on, opaque to clients."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import Field

from stafett.domain.export import OrgId
from stafett.domain.fields import UtcDatetime
from stafett.domain.frozen import FrozenModel

Cursor = tuple[datetime, UUID]
Row = TypeVar("Row")
MAX_TOKEN_LENGTH = 200
"""Ours are about half as long; what is longer need not be looked into."""

_MAX_SEQ = 2**63 - 1


class ListQuery(FrozenModel):
    """What every list can be asked for."""

    org_id: OrgId | None = None
    created_after: UtcDatetime | None = None
    created_before: UtcDatetime | None = None
    page_size: int = Field(50, ge=1, le=200)
    page_token: str | None = Field(None, max_length=MAX_TOKEN_LENGTH)

    @property
    def filter_args(self) -> dict[str, Any]:
        """The same in the words of the core, the token read."""
        after = decode_cursor(self.page_token) if self.page_token else None
        return {"cursor": after, **self.model_dump(exclude={"page_token"})}


def split_page(
    rows: Sequence[Row], page_size: int, cursor_for: Callable[[Row], Cursor]
) -> tuple[Sequence[Row], str | None]:
    """The rows that are shown, of one more than a page, and where the next page begins."""
    shown = rows[:page_size]
    return shown, encode_cursor(cursor_for(shown[-1])) if len(rows) > page_size else None


def encode_cursor(cursor: Cursor) -> str:
    at, row_id = cursor
    return _encode_token([at.isoformat(), str(row_id)])


def decode_cursor(token: str) -> Cursor:
    with _translate_token_errors():
        at, row_id = _decode_token(token)
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no moment in time")
        return moment.astimezone(UTC), UUID(row_id)


def encode_seq_cursor(seq: int) -> str:
    return _encode_token([seq])


def decode_seq_cursor(token: str) -> int:
    """Where a list of events goes on, which is in the order of their chain."""
    with _translate_token_errors():
        (seq,) = _decode_token(token)
        if type(seq) is not int or not 0 < seq <= _MAX_SEQ:
            raise ValueError("no event has this number")
        return seq


def encode_id_cursor(row_id: UUID) -> str:
    return _encode_token([str(row_id)])


def decode_id_cursor(token: str) -> UUID:
    """Where a list goes on whose order is nobody else's business, such as that of names."""
    with _translate_token_errors():
        (row_id,) = _decode_token(token)
        return UUID(row_id)


def _encode_token(parts: list[str] | list[int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _decode_token(token: str) -> list[Any]:
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError("too long")
    parts: list[Any] = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return parts


def invalid_token_error() -> RequestValidationError:
    fault = {"type": "page_token", "loc": ("query", "page_token"), "msg": "not a token that a list gave", "input": None}
    return RequestValidationError([fault])


@contextmanager
def _translate_token_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise invalid_token_error() from None
