"""What is staged is what the source holds, to the last character, cut where a rule may be cut."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from psycopg import Connection

from stafett.activity_frames import ACTIVITY_SCHEMA, OSLO_DAY, arrow_from_frame, frame_from_arrow
from stafett.database.session import Database
from stafett.exports.stages.query_activities import OrganisationPeriod, stream_activity_frames
from stafett.testing import ActivityFactory, Tenant, create_tenant

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
Read = Callable[..., list[pl.DataFrame]]
START = datetime(2026, 1, 5, 9, tzinfo=UTC)


@pytest.fixture
def period(org_id: str) -> OrganisationPeriod:
    return org_id, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)


@pytest.fixture
def read(worker_database: Database, org_id: str) -> Read:
    """A snapshot is of the instant it is taken: after everything was written down."""

    def read(period: OrganisationPeriod, rows_a_part: int = 50_000) -> list[pl.DataFrame]:
        with worker_database.snapshot(org_id) as connection:
            return staged(connection, period, rows_a_part)

    return read


def staged(connection: Connection, period: OrganisationPeriod, rows_a_part: int = 50_000) -> list[pl.DataFrame]:
    return list(stream_activity_frames(connection, period, rows_a_part))


@given(st.lists(st.none() | TEXT, min_size=1, max_size=20))
@example_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_every_text_arrives_as_it_is(owner_url: str, worker_database: Database, notes: list[str | None]) -> None:
    org_id = create_tenant(owner_url).org_id
    diary = ActivityFactory(owner_url, org_id)
    mentor = diary.create_mentor()
    for note in notes:
        diary.create_activity(mentor, note=note)
    everything = (org_id, datetime(2025, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    with worker_database.snapshot(org_id) as connection:
        (frame,) = staged(connection, everything)
    assert frame["note"].to_list() == notes
    assert frame_from_arrow(arrow_from_frame(frame)).equals(frame)


def test_parts_are_cut_between_days_of_oslo(diary: ActivityFactory, read: Read, period: OrganisationPeriod) -> None:
    mentor = diary.create_mentor()
    for hour in range(0, 96, 2):
        diary.create_activity(mentor, starts_at=START + timedelta(hours=hour))
    frames = read(period, rows_a_part=5)
    days = [set(frame[OSLO_DAY].to_list()) for frame in frames]
    assert len(frames) > 1
    assert all(not one & other for one, other in pairwise(days))
    assert sum(frame.height for frame in frames) == 48


def test_rows_come_in_report_order_however_they_were_written(
    diary: ActivityFactory, read: Read, period: OrganisationPeriod
) -> None:
    for day in (3, 1, 2, 1, 3):
        diary.create_activity(diary.create_mentor(), starts_at=START + timedelta(days=day))
    (frame,) = read(period)
    keys = list(zip(frame["starts_at"], frame["id"], strict=True))
    assert keys == sorted(keys)


def test_only_what_belongs_to_the_period_and_the_organisation_is_staged(
    diary: ActivityFactory, read: Read, tenant: Tenant, owner_url: str
) -> None:
    mentor = diary.create_mentor()
    first, last = START, START + timedelta(days=1)
    inside = [diary.create_activity(mentor, starts_at=instant) for instant in (first, last)]
    for outside in (first - timedelta(days=1), last + timedelta(hours=1, microseconds=1)):
        diary.create_activity(mentor, starts_at=outside)
    removed = diary.create_activity(mentor, starts_at=first + timedelta(hours=5))
    stranger = ActivityFactory(owner_url, create_tenant(owner_url).org_id)
    stranger.create_activity(stranger.create_mentor(), starts_at=first)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [removed])
    (frame,) = read((tenant.org_id, first, last))
    assert frame["id"].to_list() == [str(activity_id) for activity_id in inside]


def test_no_rows_are_no_parts(read: Read, period: OrganisationPeriod) -> None:
    assert read(period) == []


def test_the_schema_says_what_a_frame_holds(diary: ActivityFactory, read: Read, period: OrganisationPeriod) -> None:
    diary.create_activity(diary.create_mentor())
    (frame,) = read(period)
    assert frame.columns == ACTIVITY_SCHEMA.names()
    assert frame.schema["starts_at"] == pl.Datetime("us", "UTC")
    assert frame.schema["in_person"] == pl.Boolean()
