"""Days and times as users write them in a field."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.console.written_days import WrittenDay, WrittenTime, write_day

DAY, TIME = TypeAdapter(WrittenDay), TypeAdapter(WrittenTime)


@pytest.mark.parametrize("text", ["31.01.2026", "31.1.2026", " 31. 1. 2026 ", "2026-01-31"])
def test_day_is_read_in_norwegian_and_iso_form(text: str) -> None:
    assert DAY.validate_python(text) == date(2026, 1, 31)


@pytest.mark.parametrize(
    "text", ["30.02.2026", "1.1.26", "20260131", "2026-01-31T10:00", "31/01/2026", "1738281600", "", "x"]
)
def test_text_that_is_no_day_is_rejected_as_one(text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        DAY.validate_python(text)
    assert [error["type"] for error in raised.value.errors()] == ["date_parsing"]


@pytest.mark.parametrize(
    "text", ["31.01.2026 10:05", "31.1.2026 kl. 10.05", "31.1.2026, 10:05", "2026-01-31T10:05", "2026-01-31 10:05:00"]
)
def test_time_is_read_in_norwegian_and_iso_form(text: str) -> None:
    assert TIME.validate_python(text) == datetime(2026, 1, 31, 10, 5)  # noqa: DTZ001 - local


@pytest.mark.parametrize("text", ["31.01.2026", "31.01.2026 25:00", "31.01.202610:00", "2026-01-31T10:00Z", "10:00"])
def test_text_that_is_no_time_is_rejected_as_one(text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TIME.validate_python(text)
    assert [error["type"] for error in raised.value.errors()] == ["datetime_parsing"]


@given(st.dates(min_value=date(1000, 1, 1)))
def test_written_day_is_read_as_the_same_day(day: date) -> None:
    assert DAY.validate_python(write_day(day.isoformat())) == day


@given(st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda each: each.replace(microsecond=0)))  # noqa: DTZ001 - local
def test_written_time_is_read_as_the_same_time(time: datetime) -> None:
    assert TIME.validate_python(write_day(time.isoformat())) == time


@pytest.mark.parametrize("text", ["", "x", "31.1.2026", "2026-01-31 or later"])
def test_text_that_is_not_in_iso_form_is_shown_as_it_was_written(text: str) -> None:
    assert write_day(text) == text
