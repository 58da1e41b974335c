"""What becomes of a batch's items, in PostgreSQL: every item to its own outcome, nothing twice, races decided."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from stafett.database.session import Database
from stafett.domain.bulk_job import Chunk
from stafett.domain.bulk_status import BULK_TRANSITIONS, BulkStatus
from stafett.domain.errors import InvalidRequestError, InvalidStateError, StaleAttemptError
from stafett.testing import ActivityFactory, Tenant, create_tenant
from tests.bulk import ACTIVITY, MORNING, Core, activities_of, counts, item, many_mentors, rows


@pytest.fixture
def core(tenant: Tenant, api_database: Database, worker_database: Database) -> Core:
    return Core(tenant, api_database, worker_database)


def test_an_activity_is_registered_for_every_mentor_by_whoever_asked(
    core: Core, diary: ActivityFactory, owner_url: str
) -> None:
    mentors = [diary.create_mentor() for _ in range(3)]
    job = core.accepted(mentors)
    assert core.run(job).counts == counts(3, registered=3)
    written = rows(
        owner_url,
        "SELECT id, mentor_id, starts_at, ends_at, note, registered_by FROM activities WHERE batch_id = %s",
        job.batch_id,
    )
    outcomes = {one.activity_id: one for one in core.outcomes(job)}
    assert {mentor for _, mentor, *_ in written} == set(mentors)
    for activity_id, mentor, *said in written:
        assert outcomes[activity_id].mentor_id == str(mentor)
        assert said == [MORNING, MORNING + timedelta(hours=1), "Første møte", core.tenant.coordinator]


def test_every_item_fails_for_its_own_reason_and_undoes_no_other(
    core: Core, diary: ActivityFactory, owner_url: str
) -> None:
    busy = diary.create_mentor()
    diary.create_activity(busy, starts_at=MORNING + timedelta(minutes=59))
    stranger = ActivityFactory(owner_url, create_tenant(owner_url).org_id).create_mentor()
    twice = diary.create_mentor()
    later = {"starts_at": "2026-03-02T10:30:00+01:00"}
    job = core.accepted(
        [
            diary.create_mentor(),
            uuid4(),
            "no id at all",
            stranger,
            diary.create_mentor(active=False),
            busy,
            item(diary.create_mentor(), overrides={"new_participants": 6}),
            item(diary.create_mentor(), overrides={"activity_type": "kaffe"}),
            item(twice, client_ref="a"),
            item(twice, client_ref="b", overrides=later),
        ]
    )
    end = core.run(job)
    assert (end.status, end.counts) == (BulkStatus.COMPLETED_WITH_FAILURES, counts(10, registered=2, failed=8))
    assert core.codes(job) == [
        "registered",
        *["mentor_not_found"] * 3,
        "mentor_inactive",
        "overlapping_activity",
        *["invalid_activity"] * 2,
        "registered",
        "overlapping_activity",
    ]


def test_a_retry_does_what_failed_and_nothing_else(core: Core, diary: ActivityFactory, owner_url: str) -> None:
    busy, free = diary.create_mentor(), diary.create_mentor()
    hindrance = diary.create_activity(busy, starts_at=MORNING)
    first = core.accepted([busy, free])
    core.run(first)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [hindrance])
    second = core.retried(first)
    assert (second.batch_id, second.attempt) == (first.batch_id, 2)
    assert core.run(second).status is BulkStatus.COMPLETED
    assert [one.attempts for one in core.outcomes(second)] == [2, 1]
    assert sorted(activities_of(owner_url, first.batch_id)) == sorted([busy, free])
    with pytest.raises(InvalidStateError):
        core.retried(second)


def test_all_have_failed(core: Core) -> None:
    job = core.accepted([uuid4(), uuid4()])
    assert core.run(job).status is BulkStatus.FAILED


def test_a_chunk_that_is_done_again_writes_nothing_again(core: Core, diary: ActivityFactory, owner_url: str) -> None:
    mentors = [diary.create_mentor() for _ in range(4)]
    job = core.accepted(mentors)
    core.work.start_attempt(job)
    chunk = Chunk(job=job, number=0)
    with ThreadPoolExecutor(4) as workers:
        answers = list(workers.map(lambda _: core.work.register_chunk(chunk), range(4)))
    assert answers == [counts(4, registered=4)] * 4
    assert len(activities_of(owner_url, job.batch_id)) == 4


@pytest.mark.parametrize("round_", range(6))
def test_of_batches_that_meet_in_the_same_mentors_one_has_each(
    round_: int, tenant: Tenant, api_database: Database, worker_database: Database, owner_url: str
) -> None:
    """Each the other way round, and overlapping only in part: nobody waits for whoever waits for them."""
    core = Core(tenant, api_database, worker_database)
    mentors = many_mentors(owner_url, tenant.org_id, 60)
    chosen = [mentors, mentors[::-1], mentors[round_:] + mentors[:round_], sorted(mentors)]
    begins = ["2026-03-02T10:00:00Z", "2026-03-02T10:30:00Z", "2026-03-02T10:15:00Z", "2026-03-02T09:45:00Z"]
    jobs = [
        core.accepted(asked, activity=ACTIVITY | {"starts_at": begin})
        for asked, begin in zip(chosen, begins, strict=True)
    ]
    with ThreadPoolExecutor(4) as workers:
        ends = list(workers.map(core.run, jobs))
    assert sum(end.counts.registered for end in ends) == 60
    assert sum(end.counts.failed for end in ends) == 180
    assert all(code in {"registered", "overlapping_activity"} for job in jobs for code in core.codes(job))


REFUSING: LiteralString = """
CREATE FUNCTION refuse_a_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.place = 'Ingensteds' THEN RAISE EXCEPTION 'nobody foresaw this' USING ERRCODE = 'XX000'; END IF;
    IF NEW.place = 'Feil' THEN RAISE EXCEPTION 'nor this' USING ERRCODE = 'check_violation'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_a_place BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION refuse_a_place();
"""


@pytest.fixture
def refused_places(owner_url: str) -> Iterator[None]:
    with psycopg.connect(owner_url) as connection:
        connection.execute(REFUSING)
    yield
    with psycopg.connect(owner_url) as connection:
        connection.execute("DROP TRIGGER refuse_a_place ON activities; DROP FUNCTION refuse_a_place")


@pytest.mark.usefixtures("refused_places")
def test_if_the_database_refuses_what_nobody_foresaw_the_bad_items_alone_fail(
    core: Core, diary: ActivityFactory
) -> None:
    mentors = [diary.create_mentor() for _ in range(4)]
    places = ["Tromsø", "Ingensteds", "Feil", "Bodø"]
    job = core.accepted(
        [item(mentor, overrides={"place": place}) for mentor, place in zip(mentors, places, strict=True)]
    )
    assert core.run(job).counts == counts(4, registered=2, failed=2)
    assert core.codes(job) == ["registered", "temporarily_unavailable", "invalid_activity", "registered"]


def test_what_is_not_begun_when_a_batch_is_cancelled_is_cancelled(core: Core, owner_url: str) -> None:
    mentors = many_mentors(owner_url, core.tenant.org_id, 1200)
    job = core.accepted(mentors)
    plan = core.work.start_attempt(job)
    assert plan.pending_chunks == (0, 1, 2)
    core.work.register_chunk(Chunk(job=job, number=1))
    core.control.cancel(core.caller, job.batch_id)
    with pytest.raises(StaleAttemptError):
        core.work.register_chunk(Chunk(job=job, number=2))
    end = core.work.finish_cancel(job)
    assert (end.status, end.counts) == (BulkStatus.CANCELLED, counts(1200, registered=500, cancelled=700))
    assert core.work.finish_cancel(job) == end
    again = core.retried(job)
    assert core.run(again).counts == counts(1200, registered=1200)
    assert sorted(activities_of(owner_url, job.batch_id)) == sorted(mentors)


def test_what_is_given_up_can_be_tried_again(core: Core, diary: ActivityFactory) -> None:
    job = core.accepted([diary.create_mentor()])
    core.work.start_attempt(job)
    assert core.work.fail_chunk(Chunk(job=job, number=0)) == counts(1, failed=1)
    assert core.work.finish(job).status is BulkStatus.FAILED
    (outcome,) = core.outcomes(job)
    assert outcome.error is not None
    assert outcome.error.retryable
    assert core.run(core.retried(job)).status is BulkStatus.COMPLETED


def test_a_mentors_items_are_all_in_one_chunk(core: Core, owner_url: str) -> None:
    mentors = many_mentors(owner_url, core.tenant.org_id, 400)
    days = [f"2026-03-{day:02}T10:00:00Z" for day in (3, 4)]
    asked = [
        item(mentor, client_ref=f"{mentor} {day}", overrides={"starts_at": day}) for day in days for mentor in mentors
    ]
    job = core.accepted(asked)
    assert core.run(job).status is BulkStatus.COMPLETED
    split = rows(
        owner_url,
        "SELECT mentor_id FROM bulk_items WHERE batch_id = %s GROUP BY mentor_id HAVING count(DISTINCT chunk) > 1",
        job.batch_id,
    )
    assert split == []


def test_validating_is_registering_and_nothing_is_left_of_it(
    core: Core, diary: ActivityFactory, owner_url: str
) -> None:
    twice = diary.create_mentor()
    asked = [diary.create_mentor(), uuid4(), item(twice, client_ref="a"), item(twice, client_ref="b")]
    before = rows(owner_url, "SELECT count(*) FROM audit_events WHERE org_id = %s", core.tenant.org_id)
    verdicts = core.registrations.validate(core.caller, core.request(asked))
    assert verdicts.counts == counts(4, registered=2, failed=2)
    assert [one.error.code if one.error else one.status for one in verdicts.items] == [
        "registered",
        "mentor_not_found",
        "registered",
        "overlapping_activity",
    ]
    for table in ("activities", "bulk_registrations", "bulk_items"):
        query: LiteralString = f"SELECT count(*) FROM {table} WHERE org_id = %s"  # noqa: S608 - our own names
        assert rows(owner_url, query, core.tenant.org_id) == [(0,)]
    assert rows(owner_url, "SELECT count(*) FROM audit_events WHERE org_id = %s", core.tenant.org_id) == before
    job = core.accepted(asked)
    core.run(job)
    assert [one.status for one in core.outcomes(job)] == [one.status for one in verdicts.items]


def test_what_no_item_could_do_without_is_asked_for(core: Core, diary: ActivityFactory) -> None:
    activity = {name: said for name, said in ACTIVITY.items() if name != "place"}
    one = diary.create_mentor()
    with pytest.raises(InvalidRequestError) as refused:
        core.accepted([one, item(one)], activity=activity)
    assert {fault.pointer for fault in refused.value.issues} == {"/activity/place", "/items/1/client_ref"}
    job = core.accepted([item(one, overrides={"place": "Bodø"})], activity=activity)
    assert core.run(job).status is BulkStatus.COMPLETED


def test_the_database_and_the_code_know_the_same_transitions(owner_url: str) -> None:
    known = set(rows(owner_url, "SELECT from_status, to_status FROM bulk_transitions"))
    assert known == {(one.value, other.value) for one, others in BULK_TRANSITIONS.items() for other in others}


@pytest.mark.parametrize(
    "wrong",
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
def test_the_database_refuses_what_cannot_be(
    wrong: LiteralString, core: Core, diary: ActivityFactory, owner_url: str
) -> None:
    job = core.accepted([diary.create_mentor()])
    core.run(job)
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.CheckViolation):
        connection.execute(wrong, [job.batch_id])


def test_the_worker_adds_no_activity_that_nobody_answers_for(
    core: Core, diary: ActivityFactory, worker_database: Database
) -> None:

    mentor = diary.create_mentor()
    alone = text(
        "INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants,"
        " new_participants, place, in_person, in_norway) VALUES (gen_random_uuid(), :org, :mentor, 'annet', now(),"
        " now() + interval '1 hour', 1, 0, '', true, true)"
    )
    with (
        worker_database.transaction(core.tenant.org_id) as session,
        pytest.raises(Exception, match="row-level security"),
    ):
        session.execute(alone, {"org": core.tenant.org_id, "mentor": mentor})
