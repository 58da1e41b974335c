"""Streaming activities from PostgreSQL into frames: content, order, selection and part boundaries."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from stafett.activity_frames import ACTIVITY_SCHEMA, OSLO_DAY, activities_from_arrow, arrow_from_frame, frame_from_arrow
from stafett.database.connection import DeadlineConnection
from stafett.database.session import Database
from stafett.exports.stages.query_activities import OrganisationPeriod, stream_activity_frames
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, Tenant, create_tenant

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
ReadFrames = Callable[..., list[pl.DataFrame]]
START = datetime(2026, 1, 5, 9, tzinfo=UTC)


@pytest.fixture
def period(org_id: str) -> OrganisationPeriod:
    return org_id, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)


@pytest.fixture
def read(worker_database: Database, org_id: str) -> ReadFrames:
    """Read frames in a new snapshot, taken at the call and therefore after the test wrote its activities."""

    def read(period: OrganisationPeriod, rows_per_part: int = 50_000) -> list[pl.DataFrame]:
        with worker_database.snapshot(org_id) as connection:
            return read_frames(connection, period, rows_per_part)

    return read


def read_frames(
    connection: DeadlineConnection, period: OrganisationPeriod, rows_per_part: int = 50_000
) -> list[pl.DataFrame]:
    return list(stream_activity_frames(connection, period, rows_per_part))


@given(st.lists(st.none() | TEXT, min_size=1, max_size=20))
@example_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_every_text_is_read_unchanged(owner_url: str, worker_database: Database, notes: list[str | None]) -> None:
    org_id = create_tenant(owner_url).org_id
    activity_factory = ActivityFactory(owner_url, org_id)
    mentor = activity_factory.create_mentor()
    for note in notes:
        activity_factory.create_activity(mentor, note=note)
    period = (org_id, datetime(2025, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    with worker_database.snapshot(org_id) as connection:
        (frame,) = read_frames(connection, period)
    assert frame["note"].to_list() == notes
    assert frame_from_arrow(arrow_from_frame(frame)).equals(frame)


def test_parts_are_split_between_oslo_days(
    activity_factory: ActivityFactory, read: ReadFrames, period: OrganisationPeriod
) -> None:
    mentor = activity_factory.create_mentor()
    for hour in range(0, 96, 2):
        activity_factory.create_activity(mentor, starts_at=START + timedelta(hours=hour))
    frames = read(period, rows_per_part=5)
    days_per_part = [set(frame[OSLO_DAY].to_list()) for frame in frames]
    assert len(frames) > 1
    assert all(not days & next_days for days, next_days in pairwise(days_per_part))
    assert sum(frame.height for frame in frames) == 48


def test_rows_are_read_in_report_order(
    activity_factory: ActivityFactory, read: ReadFrames, period: OrganisationPeriod
) -> None:
    for day in (3, 1, 2, 1, 3):
        activity_factory.create_activity(activity_factory.create_mentor(), starts_at=START + timedelta(days=day))
    (frame,) = read(period)
    keys = list(zip(frame["starts_at"], frame["id"], strict=True))
    assert keys == sorted(keys)


def test_other_periods_other_organisations_and_deleted_rows_are_excluded(
    activity_factory: ActivityFactory, read: ReadFrames, tenant: Tenant, owner_url: str
) -> None:
    mentor = activity_factory.create_mentor()
    first, last = START, START + timedelta(days=1)
    inside = [activity_factory.create_activity(mentor, starts_at=instant) for instant in (first, last)]
    for outside in (first - timedelta(days=1), last + timedelta(hours=1, microseconds=1)):
        activity_factory.create_activity(mentor, starts_at=outside)
    deleted = activity_factory.create_activity(mentor, starts_at=first + timedelta(hours=5))
    other_factory = ActivityFactory(owner_url, create_tenant(owner_url).org_id)
    other_factory.create_activity(other_factory.create_mentor(), starts_at=first)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [deleted])
    (frame,) = read((tenant.org_id, first, last))
    assert frame["id"].to_list() == [str(activity_id) for activity_id in inside]


def test_period_without_activities_has_no_parts(read: ReadFrames, period: OrganisationPeriod) -> None:
    assert read(period) == []


def test_frames_match_the_activity_schema(
    activity_factory: ActivityFactory, read: ReadFrames, period: OrganisationPeriod
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    (frame,) = read(period)
    assert frame.columns == ACTIVITY_SCHEMA.names()
    assert frame.schema["starts_at"] == pl.Datetime("us", "UTC")
    assert frame.schema["in_person"] == pl.Boolean()


def test_rows_have_the_branch_of_the_mentor(
    activity_factory: ActivityFactory, read: ReadFrames, period: OrganisationPeriod
) -> None:
    for branch in ("Tromsø", None):
        activity_factory.create_activity(activity_factory.create_mentor(branch=branch))
    (frame,) = read(period)
    assert frame["branch"].to_list() == ["Tromsø", None]


def test_snapshot_without_later_columns_reads_them_as_missing(
    activity_factory: ActivityFactory, read: ReadFrames, period: OrganisationPeriod
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor(branch="Tromsø"))
    (frame,) = read(period)
    stored = arrow_from_frame(frame.drop("branch", "registered_by"))
    assert activities_from_arrow(stored).select("branch", "registered_by").rows() == [(None, None)]


@pytest.mark.parametrize("rows_per_lookup", [1, 10_000])
def test_attachments_are_counted_in_small_and_in_large_periods(
    rows_per_lookup: int,
    monkeypatch: pytest.MonkeyPatch,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    worker_database: Database,
    period: OrganisationPeriod,
) -> None:
    mentor = activity_factory.create_mentor()
    for attachment_count in (0, 2, 1):
        activity_id = activity_factory.create_activity(mentor)
        for _ in range(attachment_count):
            activity_factory.create_attachment(storage, activity_id)
    monkeypatch.setattr("stafett.exports.stages.query_activities._ROWS_PER_LOOKUP", rows_per_lookup)
    with worker_database.snapshot(period[0]) as connection:
        (frame,) = stream_activity_frames(connection, period, 50_000)
    assert frame["attachments"].to_list() == [0, 2, 1]
