from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stafett.domain.reporting_period import ReportingPeriod, add_oslo_offset

DAYS = st.dates(date(1901, 1, 1), date(2199, 12, 30))
INSTANTS = st.datetimes(datetime(1901, 1, 1), datetime(2199, 12, 30), timezones=st.timezones())  # noqa: DTZ001 - bounds


def parse_period(start: object, end: object) -> ReportingPeriod:
    return ReportingPeriod.model_validate({"start": start, "end": end})


def test_day_has_the_length_of_that_day_in_oslo() -> None:
    spring = parse_period("2026-03-29", "2026-03-29")
    assert spring.first_instant == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert spring.last_instant - spring.first_instant == timedelta(hours=23) - timedelta(microseconds=1)
    autumn = parse_period("2026-10-25", "2026-10-25")
    assert autumn.last_instant - autumn.first_instant == timedelta(hours=25) - timedelta(microseconds=1)


def test_instants_with_an_offset_are_used_unchanged() -> None:
    february = parse_period("2026-01-31T23:00:00Z", "2026-02-28T23:59:59+01:00")
    assert february.first_instant == datetime(2026, 1, 31, 23, tzinfo=UTC)
    assert february.last_instant == datetime(2026, 2, 28, 22, 59, 59, tzinfo=UTC)
    assert (february.first_day, february.last_day) == (date(2026, 2, 1), date(2026, 2, 28))


@given(st.lists(DAYS | INSTANTS, min_size=2, max_size=2))
def test_every_period_survives_a_json_round_trip(bounds: list[date]) -> None:
    try:
        parsed = parse_period(*bounds)
    except ValidationError:
        parsed = parse_period(*reversed(bounds))
    assert ReportingPeriod.model_validate_json(parsed.model_dump_json()) == parsed
    assert parsed.first_instant <= parsed.last_instant


@given(DAYS)
def test_every_day_ends_where_the_next_begins(day: date) -> None:
    today, tomorrow = parse_period(day, day), parse_period(day + timedelta(days=1), day + timedelta(days=1))
    assert today.last_instant + timedelta(microseconds=1) == tomorrow.first_instant
    assert today.last_day == today.first_day == day


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2026-02-01", "2026-01-31", "before it starts"),
        ("2026-01-02T00:00:00Z", "2026-01-01T23:59:59Z", "before it starts"),
        ("2026-01-01T00:00:00", "2026-01-31", "with its offset"),
        ("2026-02-30", "2026-03-01", "expected a date"),
        ("1899-12-31", "2026-01-01", "between"),
        ("0001-01-01", "9999-12-31", "between"),
        ("2026-01-01", "9999-12-31T23:59:59Z", "between"),
        (20260101, "2026-01-01", "expected a date"),
        ("20260101", "2026-01-01", "with its offset"),
        ("", "2026-01-01", "expected a date"),
        ("01.01.2026 Kari Nordmann", "2026-01-01", r"error, expected a date such as 2026-01-31"),
        ("２０２６-01-01", "2026-01-01", "expected a date"),  # noqa: RUF001 - full-width digits are the case under test
        (None, "2026-01-01", "expected a date"),
    ],
)
def test_invalid_period_is_rejected(start: object, end: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parse_period(start, end)


def test_oslo_time_matches_the_time_zone_database() -> None:
    assert parse_period("2026-07-01", "2026-07-01").first_instant.astimezone(ZoneInfo("Europe/Oslo")).hour == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30.03.2025 02:30", "30.03.2025 02:30"),  # clocks are put forward from 02:00 to 03:00
        ("30.03.2025 03:00", "2025-03-30T03:00:00+02:00"),
        ("26.10.2025 02:30", "2025-10-26T02:30:00+02:00"),
    ],
)
def test_local_time_that_clocks_skip_gets_no_offset(text: str, expected: str) -> None:
    assert add_oslo_offset(text) == expected
