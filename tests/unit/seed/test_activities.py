"""Generated seed data, before it reaches a database."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stafett.domain.activity import ActivityType
from stafett.domain.reporting_period import OSLO, ReportingPeriod
from stafett.seed.activities import generate_activities
from stafett.seed.attachments import generate_attachments
from stafett.seed.insertion import SeedRequest
from stafett.seed.notes import AWKWARD_NOTES
from stafett.seed.peer_mentors import distribute_activities, generate_peer_mentors
from stafett.seed.seeded_random import SeededRandom
from stafett.seed.timetable import Timetable


def build_mentors(request: SeedRequest) -> pl.DataFrame:
    timetable = Timetable(request.rng, request.org_id, request.year)
    mentors = generate_peer_mentors(request.rng, request.org_id, request.mentor_count)
    return distribute_activities(mentors, request.activities, timetable.max_per_mentor)


def build_activities(request: SeedRequest, coordinator: UUID | None = None) -> pl.DataFrame:
    timetable = Timetable(request.rng, request.org_id, request.year)
    return pl.concat(generate_activities(request.rng, timetable, build_mentors(request), coordinator))


def find_overlaps(activities: pl.DataFrame) -> pl.DataFrame:
    in_order = activities.sort("mentor_id", "starts_at")
    return in_order.filter(pl.col("starts_at") < pl.col("ends_at").shift(1).over("mentor_id"))


def list_oslo_days(activities: pl.DataFrame) -> set[date]:
    return set(activities["starts_at"].dt.convert_time_zone("Europe/Oslo").dt.date())


@pytest.fixture(scope="module")
def leap_year() -> pl.DataFrame:
    return build_activities(SeedRequest(org_id="nhf", year=2024, activities=120_000))


def test_same_request_generates_the_same_rows_on_every_machine() -> None:
    rows = build_activities(SeedRequest(org_id="hlf", year=2025, activities=500)).write_csv()
    assert hashlib.sha256(rows.encode()).hexdigest() == (
        "5d99b72b070476fc9fc4aede2cb3b77960ff678538a6aa036c75796a482f0f85"
    )


def test_random_numbers_are_those_of_splitmix64() -> None:
    numbers = pl.select(number=pl.int_range(3)).select(SeededRandom("a").random_u64("b")).to_series().to_list()
    assert numbers == list(splitmix64("a/b", 3))


def splitmix64(key: str, count: int) -> Iterator[int]:
    state = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    for _ in range(count):
        bits = state
        bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
        yield bits ^ bits >> 31
        state = (state + 0x9E3779B97F4A7C15) % 2**64


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"year": 2026}, {"org_id": "nhf"}, {"activities": 301}, {"attachments": 1}, {"mentors": 61}],
)
def test_any_other_request_generates_other_mentors_and_activities(other: dict[str, int | str]) -> None:
    one = SeedRequest(org_id="hlf", year=2025, activities=300)
    another = SeedRequest.model_validate(one.model_dump() | other)
    assert set(build_mentors(one)["id"]).isdisjoint(build_mentors(another)["id"])
    assert set(build_activities(one)["id"]).isdisjoint(build_activities(another)["id"])


@given(
    activities=st.integers(1, 3_000),
    mentors=st.integers(3, 200),
    year=st.integers(1900, 2199),
    number=st.integers(),
)
@settings(max_examples=40, deadline=None)
def test_activities_of_a_mentor_never_overlap_or_leave_the_oslo_year(
    activities: int, mentors: int, year: int, number: int
) -> None:
    generated = build_activities(
        SeedRequest(org_id="hlf", year=year, activities=activities, mentors=mentors, seed=number)
    )
    oslo_year = ReportingPeriod(start=date(year, 1, 1), end=date(year, 12, 31))
    assert len(generated) == activities == generated["id"].n_unique()
    assert find_overlaps(generated).is_empty()
    assert generated.filter(pl.col("ends_at") <= pl.col("starts_at")).is_empty()
    assert generated.filter(pl.col("starts_at") < oslo_year.first_instant).is_empty()
    assert generated.filter(pl.col("ends_at") > oslo_year.last_instant + timedelta(microseconds=1)).is_empty()


def test_year_can_be_filled_to_its_last_slot() -> None:
    full = Timetable(SeededRandom(""), "hlf", 2025).max_per_mentor * 3
    generated = build_activities(SeedRequest(org_id="hlf", year=2025, activities=full, mentors=3))
    assert len(generated) == full
    assert find_overlaps(generated).is_empty()


def test_rows_satisfy_the_constraints_of_the_table(leap_year: pl.DataFrame) -> None:
    assert leap_year.filter(~pl.col("new_participants").is_between(0, pl.col("participants"))).is_empty()
    assert set(leap_year["activity_type"]) == set(ActivityType)
    assert leap_year.drop("note", "registered_by").null_count().sum_horizontal().item() == 0
    assert all(UUID(text).version == 4 for text in leap_year["id"].head(100))


def test_rows_are_ordered_by_mentor_and_time(leap_year: pl.DataFrame) -> None:
    changes = leap_year["mentor_id"].rle().len()
    assert changes == leap_year["mentor_id"].n_unique()
    assert leap_year.filter(pl.col("starts_at") < pl.col("starts_at").shift(1).over("mentor_id")).is_empty()


def test_leap_day_clock_changes_and_year_boundaries_occur(leap_year: pl.DataFrame) -> None:
    days = {date(2024, 2, 29), date(2024, 3, 31), date(2024, 10, 27), date(2024, 12, 31), date(2024, 1, 1)}
    assert days <= list_oslo_days(leap_year)


@pytest.mark.parametrize("change", [datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC)])
def test_some_activities_span_a_clock_change(leap_year: pl.DataFrame, change: datetime) -> None:
    assert change.astimezone(OSLO).utcoffset() != (change - timedelta(seconds=1)).astimezone(OSLO).utcoffset()
    across = leap_year.filter((pl.col("starts_at") < change) & (pl.col("ends_at") > change))
    assert not across.is_empty()


def test_some_activities_do_not_count_for_the_report(leap_year: pl.DataFrame) -> None:
    minutes = (pl.col("ends_at") - pl.col("starts_at")).dt.total_minutes()
    groups = pl.col("activity_type").is_in(["samtalegruppe", "aktivitetsgruppe"])
    courses = pl.col("activity_type") == "likepersonskurs"
    for uncounted in (groups & (minutes < 45), groups & (pl.col("participants") < 3), courses & (minutes < 90)):
        share = len(leap_year.filter(uncounted)) / len(leap_year)
        assert 0 < share < 0.1
    assert 0 < len(leap_year.filter(~pl.col("in_norway"))) < len(leap_year) / 20


def test_some_mentors_have_two_activities_on_one_day() -> None:
    generated = build_activities(SeedRequest(org_id="nhf", year=2025, activities=3_000))
    per_day = generated.group_by("mentor_id", pl.col("starts_at").dt.date()).len()
    assert not per_day.filter(pl.col("len") > 1).is_empty()


def test_notes_include_every_awkward_text_and_about_half_are_missing(leap_year: pl.DataFrame) -> None:
    assert set(AWKWARD_NOTES) <= set(leap_year["note"])
    assert leap_year["note"].str.len_chars().max() > 2_000  # type: ignore[operator] # a number, as notes are text
    assert 0.4 < leap_year["note"].null_count() / len(leap_year) < 0.6


def test_coordinator_registers_some_activities() -> None:
    coordinator = UUID(int=7)
    generated = build_activities(SeedRequest(org_id="nhf", year=2025, activities=400), coordinator)
    assert set(generated["registered_by"]) == {None, str(coordinator)}


def test_few_mentors_are_inactive() -> None:
    active = generate_peer_mentors(SeededRandom("any"), "nhf", 100)["active"]
    assert 1 <= (~active).sum() <= 10


@given(activities=st.integers(1, 2_000), share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_exactly_the_requested_number_of_activities_have_attachments(activities: int, share: float) -> None:
    request = SeedRequest(org_id="nhf", year=2025, activities=activities, attachments=int(activities * share))
    attachments = generate_attachments(request.rng, "nhf", request.attachments, activities)
    assert attachments["activity_id"].n_unique() == request.attachments
    assert attachments["id"].n_unique() == len(attachments)
    assert set(attachments["activity_id"]) <= set(build_activities(request)["id"])


def test_every_fortieth_activity_with_attachments_has_two() -> None:
    variants = generate_attachments(SeededRandom("any"), "nhf", 40, 1_000).group_by("activity_id").agg("variant")
    assert [set(row) for row in variants.filter(pl.col("variant").list.len() == 2)["variant"].to_list()] != []
    assert len(generate_attachments(SeededRandom("any"), "nhf", 39, 1_000)) == 39
