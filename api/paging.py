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

Position = tuple[datetime, UUID]
Row = TypeVar("Row")
LONGEST_TOKEN = 200
"""Ours are about half as long; what is longer need not be looked into."""

_LARGEST_SEQ = 2**63 - 1


class PageQuery(FrozenModel):
    """What every list can be asked for."""

    org_id: OrgId | None = None
    created_after: UtcDatetime | None = None
    created_before: UtcDatetime | None = None
    page_size: int = Field(50, ge=1, le=200)
    page_token: str | None = Field(None, max_length=LONGEST_TOKEN)

    @property
    def wanted(self) -> dict[str, Any]:
        """The same in the words of the core, the token read."""
        after = position_of(self.page_token) if self.page_token else None
        return {"cursor": after, **self.model_dump(exclude={"page_token"})}


def page_of(
    found: Sequence[Row], page_size: int, position: Callable[[Row], Position]
) -> tuple[Sequence[Row], str | None]:
    """The rows that are shown, of one more than a page, and where the next page begins."""
    shown = found[:page_size]
    return shown, token_after(position(shown[-1])) if len(found) > page_size else None


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


def token_after_id(row_id: UUID) -> str:
    return _written([str(row_id)])


def id_of(token: str) -> UUID:
    """Where a list goes on whose order is nobody else's business, such as that of names."""
    with _refused():
        (row_id,) = _read(token)
        return UUID(row_id)


def _written(parts: list[str] | list[int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _read(token: str) -> list[Any]:
    if len(token) > LONGEST_TOKEN:
        raise ValueError("too long")
    parts: list[Any] = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return parts


def token_refused() -> RequestValidationError:
    fault = {"type": "page_token", "loc": ("query", "page_token"), "msg": "not a token that a list gave", "input": None}
    return RequestValidationError([fault])


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise token_refused() from None
