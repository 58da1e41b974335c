import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stafett.database.pagination import MAX_TOKEN_LENGTH, NEWEST_FIRST, decode_page_token, encode_page_token
from stafett.database.tables import BulkBatch, Export
from stafett.domain.errors import InvalidRequestError

ROW = UUID("0198f2c4-6f50-7d41-9e0b-3c5a7d1e8f20")
LIST = NEWEST_FIRST.name_list(BulkBatch)


def encode_token(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps([LIST, *parts]).encode()).decode()


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_every_cursor_is_decoded_from_its_token(at: datetime, row_id: UUID) -> None:
    token = encode_page_token(LIST, (at, row_id))
    assert len(token) <= MAX_TOKEN_LENGTH
    assert decode_page_token(token, LIST, NEWEST_FIRST.value_type) == (at, row_id)


@given(st.text() | st.text("AQIDxyz019-_=[]{}") | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@example("[" * 40_000)
@example(base64.urlsafe_b64encode(b"[" * 30_000).decode())
@example(base64.urlsafe_b64encode(b"[" * 140).decode())
@example("")
def test_every_text_is_decoded_or_rejected(text: str) -> None:
    try:
        at, row_id = decode_page_token(text, LIST, NEWEST_FIRST.value_type)
    except InvalidRequestError:
        return
    assert at.tzinfo is UTC
    assert isinstance(row_id, UUID)


@pytest.mark.parametrize(
    "token",
    [
        encode_token("2026-01-01T00:00:00", str(ROW)),  # no time zone, so not created by the API
        encode_token("2026-01-01", str(ROW)),
        encode_token("0001-01-01T00:00:00+23:59", str(ROW)),  # before the first year
        encode_token("9999-12-31T23:59:59-23:59", str(ROW)),
        encode_token("2026-01-01T00:00:00+00:00", "me"),
        encode_token("2026-01-01T00:00:00+00:00", 1),
        encode_token(20260101, str(ROW)),
        encode_token("2026-01-01T00:00:00+00:00"),
        encode_token("2026-01-01T00:00:00+00:00", str(ROW), 3),
        encode_token(None, None),
        base64.urlsafe_b64encode(b'{"a": 1, "b": 2}').decode(),
        base64.urlsafe_b64encode(b"1e999").decode(),
    ],
)
def test_forged_page_token_is_rejected(token: str) -> None:
    with pytest.raises(InvalidRequestError):
        decode_page_token(token, LIST, NEWEST_FIRST.value_type)


def test_cursor_time_is_decoded_as_utc() -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert decode_page_token(encode_page_token(LIST, (at, ROW)), LIST, NEWEST_FIRST.value_type)[0] == datetime(
        2026, 7, 1, 10, tzinfo=UTC
    )


def test_page_token_of_another_list_is_rejected() -> None:
    token = encode_page_token(NEWEST_FIRST.name_list(Export), (datetime(2026, 7, 1, tzinfo=UTC), ROW))
    with pytest.raises(InvalidRequestError) as rejection:
        decode_page_token(token, LIST, NEWEST_FIRST.value_type)
    assert [(issue.pointer, issue.code) for issue in rejection.value.issues] == [("query:page_token", "page_token")]
