"""Strategies for the rows of a report in report order, and their conversion to a frame."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from stafett.activity_frames import ACTIVITY_SCHEMA
from tests.support.mapping.operations import OSLO
from tests.support.mapping.phrases import TEXTS

Row = dict[str, Any]

_INSTANT = pl.Datetime("us", "UTC")
FRAME_SCHEMA = pl.Schema(
    ACTIVITY_SCHEMA
    | {"starts_at": _INSTANT, "ends_at": _INSTANT}
    | dict.fromkeys(("in_person", "in_norway", "is_proxy"), pl.Boolean())
)

# Between these the two time zone tables for Europe/Oslo agree. Before 1970 Polars has Berlin's history for Oslo, and
# from 2100 it has no summer time, while Python continues to apply the rule.
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2099, 12, 30, tzinfo=UTC)

_MOMENTS = st.sampled_from(
    [
        datetime(2026, 3, 29, 1, tzinfo=UTC),  # Oslo changes to summer time
        datetime(2025, 10, 26, 1, tzinfo=UTC),  # and back: 02:00 to 03:00 comes twice
        datetime(2026, 1, 31, 23, tzinfo=UTC),  # midnight in Oslo in winter
        datetime(2026, 6, 30, 22, tzinfo=UTC),  # and in summer
        datetime(2026, 7, 1, tzinfo=UTC),  # midnight in UTC
        datetime(2020, 12, 31, 23, tzinfo=UTC),  # the first day of 2021 lies in week 53
        datetime(2024, 2, 28, 23, tzinfo=UTC),  # a leap day begins
        datetime(1980, 4, 6, 1, tzinfo=UTC),  # Norway reintroduces summer time
        datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),  # the last second of 32 bits
    ]
) | st.datetimes(_FIRST.replace(tzinfo=None), _LAST.replace(tzinfo=None), timezones=st.just(UTC))

_MINUTES = (0, -1, 90, 60, -180, 26 * 60, 1 / 60_000_000, -1 / 60_000_000, 0.9999999, -0.9999999)
_THIRTY_HOURS = 30 * 60 * 60 * 10**6
_OFFSETS = st.sampled_from([timedelta(minutes=minutes) for minutes in _MINUTES]) | st.integers(
    -_THIRTY_HOURS, _THIRTY_HOURS
).map(lambda microseconds: timedelta(microseconds=microseconds))
_COUNTS = st.sampled_from((0, 1, 2, 3, 4, 5, -1, 7, 60, 1000, 2**31 - 1))


def _row_fields(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Row]:
    flags = st.sampled_from((True, False))
    return st.fixed_dictionaries(
        {
            **dict.fromkeys(("id", "activity_type", "place", "mentor_name"), texts),
            **dict.fromkeys(("note", "branch", "registered_by"), texts | st.none()),
            "mentor_id": st.sampled_from(("Åse", "Máret")),
            "event_id": st.sampled_from(("møte", "kurs")) | st.none(),
            **dict.fromkeys(("participants", "new_participants", "attachments"), _COUNTS),
            **dict.fromkeys(("in_person", "in_norway", "is_proxy"), flags),
        }
    )


@st.composite
def row_lists(draw: st.DrawFn, max_rows: int = 40) -> list[Row]:
    """Rows around a few moments and with a few texts, so that mentors have several similar activities a day."""
    moments = st.sampled_from(draw(st.lists(_MOMENTS, min_size=1, max_size=3)))
    fields = _row_fields(st.sampled_from(draw(st.lists(TEXTS, min_size=4, max_size=8))))
    count = draw(st.sampled_from([count for count in (0, 1, 2, 3, 5, 8, 12, 20, 40) if count <= max_rows]))
    rows = draw(st.lists(st.tuples(fields, moments, _OFFSETS, _OFFSETS), min_size=count, max_size=count))
    return sorted(itertools.starmap(_row, enumerate(rows)), key=lambda row: (row["starts_at"], row["id"]))


def _row(number: int, drawn: tuple[Row, datetime, timedelta, timedelta]) -> Row:
    fields, moment, offset, duration = drawn
    starts_at = min(max(moment + offset, _FIRST), _LAST)
    times = {"starts_at": starts_at, "ends_at": min(max(starts_at + duration, _FIRST), _LAST)}
    return fields | times | {"id": f"{fields['id']}{number}", "oslo_day": starts_at.astimezone(OSLO).date()}


def to_frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FRAME_SCHEMA)
