"""The outcomes that `validate_only` predicts are those that the batch then has, and nothing is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from stafett.database.session import Database
from stafett.domain import bulk
from stafett.testing import ActivityFactory, Json, Tenant, create_tenant
from tests.support.bulk import ACTIVITY, MORNING, BulkHarness, build_item, create_mentors, fetch_rows

DAY = datetime(2026, 3, 28, 22, tzinfo=UTC)  # in Norway, the clock changes in the following night
SLOTS = st.integers(0, 10)
GROUPS_PER_CASE = 10
INSERT_ACTIVITY: LiteralString = (
    "INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants, new_participants,"
    " place, in_person, in_norway, deleted_at)"
    " VALUES (gen_random_uuid(), %s, %s, 'annet', %s, %s, 1, 0, '', true, true, %s) ON CONFLICT DO NOTHING"
)


class ExistingActivity(NamedTuple):
    mentor: int
    slot: int
    slots: int
    is_deleted: bool


class Group(NamedTuple):
    """Activities of some mentors that exist before, and the mentor and the fields of each item."""

    existing: list[ExistingActivity]
    items: list[tuple[int, dict[str, Any]]]


class Case(NamedTuple):
    """A batch with items for several groups of mentors, so that one batch compares many situations."""

    items_per_chunk: int
    shared: dict[str, Any]
    groups: list[Group]


def _starts_at(slot: int, offset_hours: int = 0) -> str:
    offset = timedelta(hours=offset_hours)
    return f"{DAY + slot * timedelta(minutes=30) + offset:%Y-%m-%dT%H:%M:%S}+{offset_hours:02}:00"


STARTS = st.builds(_starts_at, SLOTS, st.integers(0, 3))
VALID_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "starts_at": STARTS,
        "duration_minutes": st.sampled_from([1, 30, 31, 60, 90.0, 60 * 24 * 14]),
        "place": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        "note": st.none() | st.just("Notat"),
        "participants": st.integers(1, 9),
    },
)
INVALID_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "starts_at": st.sampled_from(
            ["2026-03-28T22:00:00", "x", 5, None, "1800-01-01T00:00:00Z", "9999-12-31T23:59Z"]
        ),
        "duration_minutes": st.sampled_from([0, -1, 1.5, "60", None, True, 60 * 24 * 14 + 1]),
        "new_participants": st.sampled_from([-1, 8, 100_001, "1"]),
        "activity_type": st.sampled_from(["kaffe", None, ""]),
        "place": st.sampled_from([None, 7, "x" * 201]),
        "in_person": st.sampled_from([None, 1, "true"]),
    },
)
FIELDS = VALID_FIELDS | VALID_FIELDS | INVALID_FIELDS
# Two active mentors, with many items each, and one each who is inactive, unknown, of another organisation, or no id.
MENTORS = st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, 4, 5])
GROUPS = st.builds(
    Group,
    st.lists(st.builds(ExistingActivity, st.integers(0, 2), SLOTS, st.integers(1, 3), st.booleans()), max_size=4),
    st.lists(st.tuples(MENTORS, FIELDS), min_size=1, max_size=12),
)
CASES = st.builds(
    Case,
    st.sampled_from([3, 500]),
    st.fixed_dictionaries({"starts_at": STARTS, "duration_minutes": st.sampled_from([30, 60])}),
    st.lists(GROUPS, min_size=GROUPS_PER_CASE, max_size=GROUPS_PER_CASE),
)


@pytest.fixture
def harness(tenant: Tenant, api_database: Database, worker_database: Database) -> BulkHarness:
    return BulkHarness(tenant, api_database, worker_database)


@pytest.fixture
def foreign_mentor(owner_url: str) -> UUID:
    return ActivityFactory(owner_url, create_tenant(owner_url).org_id).create_mentor()


def build_items(group: Group, connection: psycopg.Connection, org_id: str, foreign_mentor: UUID) -> Iterator[Json]:
    """Create the group's mentors and existing activities, and build its items."""
    mentors: list[object] = [uuid4() for _ in range(4)]
    mentors += [foreign_mentor, "no id"]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO peer_mentors VALUES (%s, %s, 'Likeperson', %s)",
            [(mentor, org_id, is_active) for mentor, is_active in zip(mentors, [True, True, False], strict=False)],
        )
        cursor.executemany(
            INSERT_ACTIVITY,
            [
                (org_id, mentors[mentor], start, start + slots * timedelta(minutes=30), DAY if is_deleted else None)
                for mentor, slot, slots, is_deleted in group.existing
                for start in [DAY + slot * timedelta(minutes=30)]
            ],
        )
    for mentor, fields in group.items:
        yield build_item(mentors[mentor], client_ref=str(uuid4()), overrides=fields)


@pytest.mark.parametrize("examples", [15, pytest.param(500, marks=pytest.mark.soak)])
def test_predicted_outcomes_are_those_of_the_batch(
    examples: int, harness: BulkHarness, foreign_mentor: UUID, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each example has as many situations as groups."""

    @given(case=CASES)
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    def compare(case: Case) -> None:
        monkeypatch.setattr(bulk, "ITEMS_PER_CHUNK", case.items_per_chunk)
        with psycopg.connect(owner_url) as connection:
            items = [
                item
                for group in case.groups
                for item in build_items(group, connection, harness.tenant.org_id, foreign_mentor)
            ]
        request = harness.build_request(items, activity=ACTIVITY | case.shared)
        predicted = harness.service.validate(harness.caller, request)
        job = harness.service.accept(harness.caller, request).batch.job
        counts = harness.run(job).counts
        outcomes = [
            outcome.model_copy(update={"activity_id": None, "attempts": 0}) for outcome in harness.list_outcomes(job)
        ]
        assert predicted.items == outcomes
        assert predicted.counts == counts

    compare()


@contextmanager
def record_transactions() -> Iterator[list[tuple[Any, ...]]]:
    """Record for each transaction at its end whether it is read-only, and its id, which it has once it writes."""
    recorded = list[tuple[Any, ...]]()

    def record(session: Session) -> None:
        query = "SELECT current_setting('transaction_read_only'), pg_current_xact_id_if_assigned()"
        recorded.append(tuple(session.execute(text(query)).one()))

    event.listen(Session, "before_commit", record)
    try:
        yield recorded
    finally:
        event.remove(Session, "before_commit", record)


def test_validation_is_one_read_only_transaction(harness: BulkHarness, owner_url: str) -> None:
    request = harness.build_request(create_mentors(owner_url, harness.tenant.org_id, 3))
    with record_transactions() as transactions:
        harness.service.validate(harness.caller, request)
    assert transactions == [("on", None)]


def test_validation_does_not_wait_for_a_batch_that_is_being_registered(
    harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str
) -> None:
    mentor = activity_factory.create_mentor()
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            INSERT_ACTIVITY, [harness.tenant.org_id, mentor, MORNING, MORNING + timedelta(hours=1), None]
        )
        result = harness.service.validate(harness.caller, harness.build_request([mentor]))
        assert result.counts.registered == 1
    assert harness.service.validate(harness.caller, harness.build_request([mentor])).counts.failed == 1


def test_api_role_cannot_write_activities(owner_url: str) -> None:
    query = "SELECT has_table_privilege('stafett_api', 'activities', 'INSERT, UPDATE, DELETE, TRUNCATE')"
    assert fetch_rows(owner_url, query) == [(False,)]
