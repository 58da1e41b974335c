"""Pagination: the query parameters that lists share, and opaque page tokens."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import Field

from stafett.domain.export import OrgId
from stafett.domain.fields import UtcDatetime
from stafett.domain.frozen import FrozenModel

Cursor = tuple[datetime, UUID]
Row = TypeVar("Row")
MAX_TOKEN_LENGTH = 200
"""Tokens of this API are about half as long; a longer one is rejected without decoding it."""

_MAX_BIGINT = 2**63 - 1
DEFAULT_PAGE_SIZE = 50
PageSize = Annotated[int, Field(ge=1, le=200, description="Maximum number of items on the page.")]
PageToken = Annotated[
    str | None,
    Field(
        max_length=MAX_TOKEN_LENGTH,
        description="`next_page_token` of the previous page. Leave it out for the first page.",
    ),
]
NextPageToken = Annotated[str | None, Field(description="`page_token` of the next page; null on the last page.")]
OrgIdFilter = Annotated[OrgId | None, Field(description="Only entries of this organisation.")]


class ListQuery(FrozenModel):
    """Query parameters of every list."""

    org_id: OrgIdFilter = None
    created_after: UtcDatetime | None = Field(None, description="Only entries created after this time.")
    created_before: UtcDatetime | None = Field(None, description="Only entries created before this time.")
    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None

    @property
    def filter_args(self) -> dict[str, Any]:
        """The keyword arguments of the service's filter, with the page token decoded into a cursor."""
        cursor = decode_cursor(self.page_token) if self.page_token else None
        return {"cursor": cursor, **self.model_dump(exclude={"page_token"})}


def split_page(
    rows: Sequence[Row], page_size: int, cursor_for: Callable[[Row], Cursor]
) -> tuple[Sequence[Row], str | None]:
    """Return one page and the next page's token. The query fetches one row more than a page to know of a next one."""
    page = rows[:page_size]
    return page, encode_cursor(cursor_for(page[-1])) if len(rows) > page_size else None


def encode_cursor(cursor: Cursor) -> str:
    at, row_id = cursor
    return _encode_token([at.isoformat(), str(row_id)])


def decode_cursor(token: str) -> Cursor:
    with _translate_token_errors():
        at, row_id = _decode_token(token)
        instant = datetime.fromisoformat(at)
        if instant.tzinfo is None:
            raise ValueError("a cursor's time has a UTC offset")
        return instant.astimezone(UTC), UUID(row_id)


def encode_seq_cursor(seq: int) -> str:
    return _encode_token([seq])


def decode_seq_cursor(token: str, max_seq: int = _MAX_BIGINT) -> int:
    """Decode the token of a list that is ordered by a positive sequence number, which its column can store."""
    with _translate_token_errors():
        (seq,) = _decode_token(token)
        if type(seq) is not int or not 0 < seq <= max_seq:
            raise ValueError("not a sequence number")
        return seq


def encode_id_cursor(row_id: UUID) -> str:
    return _encode_token([str(row_id)])


def decode_id_cursor(token: str) -> UUID:
    """Decode the token of a list whose order is not visible in the cursor, such as a list by name."""
    with _translate_token_errors():
        (row_id,) = _decode_token(token)
        return UUID(row_id)


def _encode_token(parts: list[str] | list[int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _decode_token(token: str) -> list[Any]:
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError("the token is too long")
    parts: list[Any] = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return parts


def invalid_token_error() -> RequestValidationError:
    message = "The page token was not issued by this list"
    error = {"type": "page_token", "loc": ("query", "page_token"), "msg": message, "input": None}
    return RequestValidationError([error])


@contextmanager
def _translate_token_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise invalid_token_error() from None
