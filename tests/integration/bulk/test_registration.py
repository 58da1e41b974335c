"""Registration of a batch's items in PostgreSQL: one outcome per item, no duplicates, races between batches."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from stafett.bulk.csv_format import parse_request
from stafett.database.session import Database
from stafett.domain import bulk
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import Chunk
from stafett.domain.bulk_status import BULK_TRANSITIONS, BulkStatus
from stafett.domain.errors import InvalidRequestError, InvalidStateError, StaleAttemptError
from stafett.testing import ActivityFactory, Tenant, create_tenant
from tests.support.bulk import (
    ACTIVITY,
    MORNING,
    BulkHarness,
    build_counts,
    build_item,
    create_mentors,
    fetch_registered_mentors,
    fetch_rows,
)


@pytest.fixture
def harness(tenant: Tenant, api_database: Database, worker_database: Database) -> BulkHarness:
    return BulkHarness(tenant, api_database, worker_database)


def test_activity_is_registered_for_each_mentor_in_the_callers_name(
    harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str
) -> None:
    mentors = [activity_factory.create_mentor() for _ in range(3)]
    job = harness.accept(mentors)
    assert harness.run(job).counts == build_counts(3, registered=3)
    written = fetch_rows(
        owner_url,
        "SELECT id, mentor_id, starts_at, ends_at, note, registered_by FROM activities WHERE batch_id = %s",
        job.batch_id,
    )
    outcomes = {outcome.activity_id: outcome for outcome in harness.list_outcomes(job)}
    assert {mentor for _, mentor, *_ in written} == set(mentors)
    for activity_id, mentor, *fields in written:
        assert outcomes[activity_id].mentor_id == str(mentor)
        assert fields == [MORNING, MORNING + timedelta(hours=1), "Første møte", harness.tenant.coordinator]


def test_failed_item_has_its_own_error_and_affects_no_other_item(
    harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str
) -> None:
    busy_mentor = activity_factory.create_mentor()
    activity_factory.create_activity(busy_mentor, starts_at=MORNING + timedelta(minutes=59))
    foreign_mentor = ActivityFactory(owner_url, create_tenant(owner_url).org_id).create_mentor()
    repeated_mentor = activity_factory.create_mentor()
    later = {"starts_at": "2026-03-02T10:30:00+01:00"}
    job = harness.accept(
        [
            activity_factory.create_mentor(),
            uuid4(),
            "no id at all",
            foreign_mentor,
            activity_factory.create_mentor(active=False),
            busy_mentor,
            build_item(activity_factory.create_mentor(), overrides={"new_participants": 6}),
            build_item(activity_factory.create_mentor(), overrides={"activity_type": "kaffe"}),
            build_item(repeated_mentor, client_ref="a"),
            build_item(repeated_mentor, client_ref="b", overrides=later),
        ]
    )
    outcome = harness.run(job)
    assert (outcome.status, outcome.counts) == (
        BulkStatus.COMPLETED_WITH_FAILURES,
        build_counts(10, registered=2, failed=8),
    )
    assert harness.list_codes(job) == [
        "registered",
        *["mentor_not_found"] * 3,
        "mentor_inactive",
        "overlapping_activity",
        *["invalid_activity"] * 2,
        "registered",
        "overlapping_activity",
    ]


def fetch_events(owner_url: str, batch_id: UUID) -> dict[UUID, UUID | None]:
    rows = fetch_rows(owner_url, "SELECT mentor_id, event_id FROM activities WHERE batch_id = %s", batch_id)
    return dict(rows)


def test_items_of_one_meeting_share_an_event_and_others_have_their_own(harness: BulkHarness, owner_url: str) -> None:
    together, alone = (
        create_mentors(owner_url, harness.tenant.org_id, 3),
        create_mentors(owner_url, harness.tenant.org_id, 3),
    )
    overrides = ({"place": "Bodø"}, {"starts_at": "2026-03-03T10:00:00+01:00"}, {"activity_type": "aktivitetsgruppe"})
    items = [build_item(mentor, overrides=fields) for mentor, fields in zip(alone, overrides, strict=True)]
    equal = build_item(together[2], overrides={"participants": 9, "starts_at": "2026-03-02T09:00:00Z"})
    job = harness.accept([*together[:2], equal, *items])
    harness.run(job)
    events = fetch_events(owner_url, job.batch_id)
    assert len({events[mentor] for mentor in together}) == 1
    assert len({events[mentor] for mentor in (together[0], *alone)}) == 4
    assert None not in events.values()


def test_event_that_the_client_names_is_that_of_the_activities(harness: BulkHarness, owner_url: str) -> None:
    mentors, event, other = create_mentors(owner_url, harness.tenant.org_id, 3), uuid4(), uuid4()
    items = [
        mentors[0],
        build_item(mentors[1], overrides={"event_id": str(other).upper()}),
        build_item(mentors[2], overrides={"event_id": None}),
    ]
    job = harness.accept(items, activity=ACTIVITY | {"event_id": str(event)})
    harness.run(job)
    assert fetch_events(owner_url, job.batch_id) == dict(zip(mentors, (event, other, None), strict=True))


def test_corrected_items_join_the_event_of_the_first_batch(harness: BulkHarness, owner_url: str) -> None:
    org_id = harness.tenant.org_id
    (active, mistaken), (inactive,) = (
        create_mentors(owner_url, org_id, 2),
        create_mentors(owner_url, org_id, 1, active=False),
    )
    first = harness.accept([active, inactive, build_item(mistaken, overrides={"new_participants": 6})])
    harness.run(first)
    file = harness.service.download_failed_csv(harness.caller, first.batch_id).replace(";5;6;", ";6;6;")
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE peer_mentors SET active = true WHERE id = %s", [inactive])
    second = harness.service.accept(harness.caller, parse_request(file.encode(), org_id, None)).batch.job
    harness.run(second)
    (event,) = fetch_events(owner_url, first.batch_id).values()
    assert event is not None
    assert fetch_events(owner_url, second.batch_id) == {inactive: event, mistaken: event}


def test_check_of_a_batch_warns_of_several_mentors_at_one_event(harness: BulkHarness, owner_url: str) -> None:
    mentors = create_mentors(owner_url, harness.tenant.org_id, 4)
    elsewhere = build_item(mentors[3], overrides={"place": "Bodø"})
    result = harness.service.validate(harness.caller, harness.build_request([*mentors[:3], elsewhere, uuid4()]))
    (warning,) = result.warnings
    assert (warning.code, warning.rows, warning.events) == ("several_mentors_at_one_event", 3, 1)
    alone = harness.service.validate(harness.caller, harness.build_request([mentors[0], elsewhere]))
    assert alone.warnings == []


def test_retry_processes_only_the_failed_items(
    harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str
) -> None:
    busy_mentor, free_mentor = activity_factory.create_mentor(), activity_factory.create_mentor()
    overlapping = activity_factory.create_activity(busy_mentor, starts_at=MORNING)
    first = harness.accept([busy_mentor, free_mentor])
    harness.run(first)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [overlapping])
    second = harness.retry(first)
    assert (second.batch_id, second.attempt) == (first.batch_id, 2)
    assert harness.run(second).status is BulkStatus.COMPLETED
    assert [outcome.attempts for outcome in harness.list_outcomes(second)] == [2, 1]
    assert sorted(fetch_registered_mentors(owner_url, first.batch_id)) == sorted([busy_mentor, free_mentor])
    with pytest.raises(InvalidStateError):
        harness.retry(second)


def test_batch_with_only_failed_items_fails(harness: BulkHarness) -> None:
    job = harness.accept([uuid4(), uuid4()])
    assert harness.run(job).status is BulkStatus.FAILED


def test_chunk_registered_concurrently_writes_each_activity_once(
    harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second chunk keeps the batch running: once it has finished, a late execution is rejected."""
    monkeypatch.setattr(bulk, "ITEMS_PER_CHUNK", 4)
    job = harness.accept([activity_factory.create_mentor() for _ in range(8)])
    assert harness.registration.start_attempt(job).pending_chunks == (0, 1)
    chunk = Chunk(job=job, number=0)
    with ThreadPoolExecutor(4) as workers:
        results = list(workers.map(lambda _: harness.registration.register_chunk(chunk), range(4)))
    assert results == [build_counts(8, pending=4, registered=4)] * 4
    assert len(fetch_registered_mentors(owner_url, job.batch_id)) == 4


def test_last_chunk_registered_concurrently_finishes_the_batch_once(
    harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str
) -> None:
    job = harness.accept([activity_factory.create_mentor() for _ in range(4)])
    harness.registration.start_attempt(job)

    def register_unless_finished(_: int) -> list[BulkCounts]:
        with suppress(StaleAttemptError):
            return [harness.registration.register_chunk(Chunk(job=job, number=0))]
        return []

    with ThreadPoolExecutor(4) as workers:
        results = [counts for returned in workers.map(register_unless_finished, range(4)) for counts in returned]
    assert results
    assert results == [build_counts(4, registered=4)] * len(results)
    assert len(fetch_registered_mentors(owner_url, job.batch_id)) == 4
    query: LiteralString = "SELECT count(*) FROM audit_events WHERE subject_id = %s AND event = 'bulk_completed'"
    assert fetch_rows(owner_url, query, job.batch_id) == [(1,)]


@pytest.mark.parametrize("rotation", range(6))
def test_overlapping_concurrent_batches_register_each_mentor_once(
    rotation: int, tenant: Tenant, api_database: Database, worker_database: Database, owner_url: str
) -> None:
    """The batches list the same mentors in different orders, so that locks taken in list order would deadlock."""
    harness = BulkHarness(tenant, api_database, worker_database)
    mentors = create_mentors(owner_url, tenant.org_id, 60)
    orders = [mentors, mentors[::-1], mentors[rotation:] + mentors[:rotation], sorted(mentors)]
    starts = ["2026-03-02T10:00:00Z", "2026-03-02T10:30:00Z", "2026-03-02T10:15:00Z", "2026-03-02T09:45:00Z"]
    jobs = [
        harness.accept(items, activity=ACTIVITY | {"starts_at": start})
        for items, start in zip(orders, starts, strict=True)
    ]
    with ThreadPoolExecutor(4) as workers:
        outcomes = list(workers.map(harness.run, jobs))
    assert sum(outcome.counts.registered for outcome in outcomes) == 60
    assert sum(outcome.counts.failed for outcome in outcomes) == 180
    assert all(code in {"registered", "overlapping_activity"} for job in jobs for code in harness.list_codes(job))


REJECT_PLACES: LiteralString = """
CREATE FUNCTION reject_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.place = 'Ingensteds' THEN RAISE EXCEPTION 'unexpected error' USING ERRCODE = 'XX000'; END IF;
    IF NEW.place = 'Feil' THEN RAISE EXCEPTION 'unexpected check violation' USING ERRCODE = 'check_violation'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reject_place BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION reject_place();
"""


@pytest.fixture
def rejected_places(owner_url: str) -> Iterator[None]:
    with psycopg.connect(owner_url) as connection:
        connection.execute(REJECT_PLACES)
    yield
    with psycopg.connect(owner_url) as connection:
        connection.execute("DROP TRIGGER reject_place ON activities; DROP FUNCTION reject_place")


@pytest.mark.usefixtures("rejected_places")
def test_unexpected_database_error_fails_only_its_own_items(
    harness: BulkHarness, activity_factory: ActivityFactory
) -> None:
    mentors = [activity_factory.create_mentor() for _ in range(4)]
    places = ["Tromsø", "Ingensteds", "Feil", "Bodø"]
    job = harness.accept(
        [build_item(mentor, overrides={"place": place}) for mentor, place in zip(mentors, places, strict=True)]
    )
    assert harness.run(job).counts == build_counts(4, registered=2, failed=2)
    assert harness.list_codes(job) == ["registered", "temporarily_unavailable", "invalid_activity", "registered"]


def test_cancelling_a_batch_cancels_only_its_pending_items(harness: BulkHarness, owner_url: str) -> None:
    mentors = create_mentors(owner_url, harness.tenant.org_id, 1200)
    job = harness.accept(mentors)
    plan = harness.registration.start_attempt(job)
    assert plan.pending_chunks == (0, 1, 2)
    harness.registration.register_chunk(Chunk(job=job, number=1))
    harness.commands.cancel(harness.caller, job.batch_id)
    with pytest.raises(StaleAttemptError):
        harness.registration.register_chunk(Chunk(job=job, number=2))
    outcome = harness.registration.finish_cancel(job)
    assert (outcome.status, outcome.counts) == (BulkStatus.CANCELLED, build_counts(1200, registered=500, cancelled=700))
    assert harness.registration.finish_cancel(job) == outcome
    retried = harness.retry(job)
    assert harness.run(retried).counts == build_counts(1200, registered=1200)
    assert sorted(fetch_registered_mentors(owner_url, job.batch_id)) == sorted(mentors)


def test_failed_chunk_can_be_retried(harness: BulkHarness, activity_factory: ActivityFactory) -> None:
    job = harness.accept([activity_factory.create_mentor()])
    harness.registration.start_attempt(job)
    assert harness.registration.fail_chunk(Chunk(job=job, number=0)) == build_counts(1, failed=1)
    assert harness.registration.finish(job).status is BulkStatus.FAILED
    (item,) = harness.list_outcomes(job)
    assert item.error is not None
    assert item.error.retryable
    assert harness.run(harness.retry(job)).status is BulkStatus.COMPLETED


def test_items_of_one_mentor_share_a_chunk(harness: BulkHarness, owner_url: str) -> None:
    mentors = create_mentors(owner_url, harness.tenant.org_id, 400)
    days = [f"2026-03-{day:02}T10:00:00Z" for day in (3, 4)]
    items = [
        build_item(mentor, client_ref=f"{mentor} {day}", overrides={"starts_at": day})
        for day in days
        for mentor in mentors
    ]
    job = harness.accept(items)
    assert harness.run(job).status is BulkStatus.COMPLETED
    split = fetch_rows(
        owner_url,
        "SELECT mentor_id FROM bulk_items WHERE batch_id = %s GROUP BY mentor_id HAVING count(DISTINCT chunk) > 1",
        job.batch_id,
    )
    assert split == []


def test_validation_predicts_each_outcome_and_writes_nothing(
    harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str
) -> None:
    repeated_mentor = activity_factory.create_mentor()
    items = [
        activity_factory.create_mentor(),
        uuid4(),
        build_item(repeated_mentor, client_ref="a"),
        build_item(repeated_mentor, client_ref="b"),
    ]
    before = fetch_rows(owner_url, "SELECT count(*) FROM audit_events WHERE org_id = %s", harness.tenant.org_id)
    validation = harness.service.validate(harness.caller, harness.build_request(items))
    assert validation.counts == build_counts(4, registered=2, failed=2)
    assert [item.error.code if item.error else item.status for item in validation.items] == [
        "registered",
        "mentor_not_found",
        "registered",
        "overlapping_activity",
    ]
    for table in ("activities", "bulk_registrations", "bulk_items"):
        query: LiteralString = f"SELECT count(*) FROM {table} WHERE org_id = %s"  # noqa: S608 - table names of this test
        assert fetch_rows(owner_url, query, harness.tenant.org_id) == [(0,)]
    assert fetch_rows(owner_url, "SELECT count(*) FROM audit_events WHERE org_id = %s", harness.tenant.org_id) == before
    job = harness.accept(items)
    harness.run(job)
    assert [item.status for item in harness.list_outcomes(job)] == [item.status for item in validation.items]


def test_missing_required_fields_are_reported_by_pointer(
    harness: BulkHarness, activity_factory: ActivityFactory
) -> None:
    activity = {name: value for name, value in ACTIVITY.items() if name != "place"}
    mentor = activity_factory.create_mentor()
    with pytest.raises(InvalidRequestError) as raised:
        harness.accept([mentor, build_item(mentor)], activity=activity)
    assert {issue.pointer for issue in raised.value.issues} == {"/activity/place", "/items/1/client_ref"}
    job = harness.accept([build_item(mentor, overrides={"place": "Bodø"})], activity=activity)
    assert harness.run(job).status is BulkStatus.COMPLETED


def test_database_and_code_define_the_same_transitions(owner_url: str) -> None:
    stored = set(fetch_rows(owner_url, "SELECT from_status, to_status FROM bulk_transitions"))
    assert stored == {
        (status.value, successor.value) for status, successors in BULK_TRANSITIONS.items() for successor in successors
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE bulk_registrations SET status = 'running', completed_at = NULL WHERE id = %s",
        "UPDATE bulk_registrations SET status = 'accepted', completed_at = NULL WHERE id = %s",
        "UPDATE bulk_registrations SET activity = '{}' WHERE id = %s",
        "UPDATE bulk_registrations SET registered = 2 WHERE id = %s",
        "UPDATE bulk_items SET status = 'pending' WHERE batch_id = %s",
        "UPDATE bulk_items SET activity_id = gen_random_uuid() WHERE batch_id = %s",
        "UPDATE activities SET registered_by = NULL WHERE batch_id = %s",
    ],
)
def test_database_rejects_inconsistent_updates(
    statement: LiteralString, harness: BulkHarness, activity_factory: ActivityFactory, owner_url: str
) -> None:
    job = harness.accept([activity_factory.create_mentor()])
    harness.run(job)
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.CheckViolation):
        connection.execute(statement, [job.batch_id])


def test_worker_cannot_insert_an_activity_outside_a_batch(
    harness: BulkHarness, activity_factory: ActivityFactory, worker_database: Database
) -> None:
    mentor = activity_factory.create_mentor()
    insert = text(
        "INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants,"
        " new_participants, place, in_person, in_norway) VALUES (gen_random_uuid(), :org, :mentor, 'annet', now(),"
        " now() + interval '1 hour', 1, 0, '', true, true)"
    )
    with (
        worker_database.transaction(harness.tenant.org_id) as session,
        pytest.raises(Exception, match="row-level security"),
    ):
        session.execute(insert, {"org": harness.tenant.org_id, "mentor": mentor})


def test_retry_counts_the_items_that_it_tries_again(harness: BulkHarness, owner_url: str) -> None:
    org_id = harness.tenant.org_id
    (active,) = create_mentors(owner_url, org_id, 1)
    (inactive,) = create_mentors(owner_url, org_id, 1, active=False)
    job = harness.accept([active, inactive, uuid4()])
    harness.run(job)
    assert harness.service.find(harness.caller, job.batch_id).batch.retried_counts is None
    fetch_rows(owner_url, "UPDATE peer_mentors SET active = true WHERE id = %s RETURNING 1", inactive)
    job = harness.retry(job)
    waiting = harness.service.find(harness.caller, job.batch_id).batch.retried_counts
    assert waiting == build_counts(2, pending=2)
    harness.run(job)
    retried = harness.service.find(harness.caller, job.batch_id).batch
    assert retried.retried_counts == build_counts(2, registered=1, failed=1)
    assert retried.counts == build_counts(3, registered=2, failed=1)
