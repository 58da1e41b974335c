import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import example, given
from hypothesis import strategies as some

from api.paging import MAX_TOKEN_LENGTH, decode_cursor, encode_cursor

ROW = UUID("0198f2c4-6f50-7d41-9e0b-3c5a7d1e8f20")


def token_of(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@given(some.datetimes(timezones=some.just(UTC)), some.uuids())
def test_every_position_comes_back_from_its_token(at: datetime, row_id: UUID) -> None:
    token = encode_cursor((at, row_id))
    assert len(token) <= MAX_TOKEN_LENGTH
    assert decode_cursor(token) == (at, row_id)


@given(
    some.text() | some.text("AQIDxyz019-_=[]{}") | some.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
@example("[" * 40_000)
@example(base64.urlsafe_b64encode(b"[" * 30_000).decode())
@example(base64.urlsafe_b64encode(b"[" * 140).decode())
@example("")
def test_every_text_is_a_position_or_is_refused(text: str) -> None:
    try:
        at, row_id = decode_cursor(text)
    except RequestValidationError:
        return
    assert at.tzinfo is UTC
    assert isinstance(row_id, UUID)


@pytest.mark.parametrize(
    "token",
    [
        token_of("2026-01-01T00:00:00", str(ROW)),  # of no time zone: never one of ours
        token_of("2026-01-01", str(ROW)),
        token_of("0001-01-01T00:00:00+23:59", str(ROW)),  # before the first year
        token_of("9999-12-31T23:59:59-23:59", str(ROW)),
        token_of("2026-01-01T00:00:00+00:00", "me"),
        token_of("2026-01-01T00:00:00+00:00", 1),
        token_of(20260101, str(ROW)),
        token_of("2026-01-01T00:00:00+00:00"),
        token_of("2026-01-01T00:00:00+00:00", str(ROW), 3),
        token_of(None, None),
        base64.urlsafe_b64encode(b'{"a": 1, "b": 2}').decode(),
        base64.urlsafe_b64encode(b"1e999").decode(),
    ],
)
def test_a_token_that_no_list_gave_is_refused(token: str) -> None:
    with pytest.raises(RequestValidationError):
        decode_cursor(token)


def test_a_moment_is_the_same_in_any_time_zone() -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert decode_cursor(encode_cursor((at, ROW)))[0] == datetime(2026, 7, 1, 10, tzinfo=UTC)
