"""Registered activities that coordinators and administrators correct and delete over the API."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from stafett.bulk.activities import ActivityService
from stafett.database.session import Database
from stafett.domain.errors import OverlappingActivityError, PreconditionFailedError
from stafett.domain.membership import Caller, Role
from stafett.domain.proxy_activity import ActivityCorrection
from stafett.testing import ActivityFactory, Json, Tenant, create_operator, create_tenant, wait_until
from tests.support.bulk import BulkHarness, build_batch, build_item
from tests.support.fixture_types import Bearer
from tests.support.user_client import UserClient

ACTIVITIES = "/activities"
ANY, START = {"If-Match": "*"}, datetime(2026, 3, 2, 9, tzinfo=UTC)
EVENT_ID = str(uuid4())
CORRECTIONS: Json = {
    "activity_type": "likepersonskurs",
    "starts_at": "2026-04-01T08:30:00Z",
    "duration_minutes": 90,
    "participants": 7,
    "new_participants": 2,
    "place": "Bodø",
    "in_person": False,
    "in_norway": False,
    "event_id": EVENT_ID,
}


PAUSE_BATCH: LiteralString = """
CREATE FUNCTION pause_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.place = '2' THEN PERFORM pg_advisory_xact_lock(70001); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pause_batch BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION pause_batch();
"""
"""The second item of a batch waits for the advisory lock, before it is inserted and after the first one is."""


@pytest.fixture
def client_of(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> Callable[[Role], UserClient]:
    return lambda role: UserClient(api_client, bearer(tenant.users[role], role=role))


@pytest.fixture
def coordinator(client_of: Callable[[Role], UserClient]) -> UserClient:
    return client_of(Role.COORDINATOR)


@pytest.fixture
def mentor(activity_factory: ActivityFactory) -> UUID:
    return activity_factory.create_mentor("Kari Nordmann")


@pytest.fixture
def activity_id(activity_factory: ActivityFactory, mentor: UUID) -> UUID:
    return activity_factory.create_activity(mentor, starts_at=START, note="Første møte")


@pytest.fixture
def path(activity_id: UUID) -> str:
    return f"{ACTIVITIES}/{activity_id}"


async def fetch_tag(client: UserClient, path: str) -> dict[str, str]:
    response = await client.http_client.get(f"/api/v1{path}", headers=client.headers)
    return {"If-Match": response.raise_for_status().headers["ETag"]}


def fetch_events(owner_url: str, org_id: str) -> list[tuple[str, UUID, Json]]:
    query = "SELECT event, subject_id, detail FROM audit_events WHERE org_id = %s AND subject_kind = %s ORDER BY seq"
    with psycopg.connect(owner_url) as owner:
        return owner.execute(query, [org_id, "activity"]).fetchall()


def fetch_column(owner_url: str, activity_id: UUID, column: str) -> object:
    with psycopg.connect(owner_url) as owner:
        row = owner.execute(f"SELECT {column} FROM activities WHERE id = %s".encode(), [activity_id]).fetchone()  # noqa: S608 - a column's name
    assert row is not None
    return row[0]


async def test_every_field_of_an_activity_can_be_corrected(
    coordinator: UserClient, path: str, mentor: UUID, tenant: Tenant, owner_url: str, activity_id: UUID
) -> None:
    before = await coordinator.request("GET", path, 200)
    assert (before["mentor_id"], before["mentor_name"]) == (str(mentor), "Kari Nordmann")
    assert "note" not in before
    corrected = await coordinator.request("PUT", path, 200, json=CORRECTIONS | {"note": "Rettet"}, headers=ANY)
    assert corrected == before | CORRECTIONS | {"ends_at": "2026-04-01T10:00:00Z"}
    assert await coordinator.request("GET", path, 200) == corrected
    page = await coordinator.request("GET", ACTIVITIES, 200, params={"mentor_id": str(mentor)})
    assert page["items"] == [corrected]
    assert fetch_column(owner_url, activity_id, "note") == "Rettet"
    removed = await coordinator.request("PUT", path, 200, json={"note": None, "event_id": None}, headers=ANY)
    assert removed == corrected | {"event_id": None}
    assert fetch_column(owner_url, activity_id, "note") is None
    everything = dict.fromkeys((*CORRECTIONS, "note"), True)
    assert fetch_events(owner_url, tenant.org_id) == [
        ("activity_corrected", activity_id, everything),
        ("activity_corrected", activity_id, {"note": True, "event_id": True}),
    ]


@pytest.mark.parametrize(
    ("correction", "starts_at", "minutes"),
    [
        ({"starts_at": "2026-03-02T11:00:00+01:00"}, "2026-03-02T10:00:00Z", 60),
        ({"duration_minutes": 45}, "2026-03-02T09:00:00Z", 45),
        ({"starts_at": "2026-03-02T08:00:00Z", "duration_minutes": 120}, "2026-03-02T08:00:00Z", 120),
    ],
)
async def test_corrected_start_keeps_the_duration_that_is_not_corrected(
    coordinator: UserClient, path: str, correction: Json, starts_at: str, minutes: int
) -> None:
    corrected = await coordinator.request("PUT", path, 200, json=correction, headers=ANY)
    assert (corrected["starts_at"], corrected["duration_minutes"]) == (starts_at, minutes)
    ends_at = datetime.fromisoformat(corrected["starts_at"]) + timedelta(minutes=minutes)
    assert datetime.fromisoformat(corrected["ends_at"]) == ends_at


async def test_correction_needs_the_current_entity_tag(coordinator: UserClient, path: str) -> None:
    tag = await fetch_tag(coordinator, path)
    await coordinator.request("GET", path, 304, headers={"If-None-Match": tag["If-Match"]})
    assert (await coordinator.request("PUT", path, 428, json={"place": "Bodø"}))["code"] == "precondition_required"
    await coordinator.request("PUT", path, 200, json={"place": "Bodø"}, headers=tag)
    stale = await coordinator.request("PUT", path, 412, json={"place": "Oslo"}, headers=tag)
    assert stale["code"] == "precondition_failed"
    await coordinator.request("DELETE", path, 412, headers=tag)
    assert (await coordinator.request("GET", path, 200))["place"] == "Bodø"
    await coordinator.request("DELETE", path, 204, headers=await fetch_tag(coordinator, path))


async def test_renamed_mentor_changes_the_entity_tag_and_invalidates_no_correction(
    coordinator: UserClient, path: str, mentor: UUID
) -> None:
    tag = await fetch_tag(coordinator, path)
    renamed = {"display_name": "Kari Hansen"}
    await coordinator.request("PUT", f"/peer-mentors/{mentor}", 200, json=renamed, headers=ANY)
    activity = await coordinator.request("GET", path, 200, headers={"If-None-Match": tag["If-Match"]})
    assert activity["mentor_name"] == "Kari Hansen"
    await coordinator.request("PUT", path, 200, json={"place": "Bodø"}, headers=tag)


async def test_correction_with_equal_values_changes_and_records_nothing(
    coordinator: UserClient, path: str, tenant: Tenant, owner_url: str
) -> None:
    tag = await fetch_tag(coordinator, path)
    equal = {"place": "Tromsø", "duration_minutes": 60, "starts_at": START.isoformat(), "note": "Første møte"}
    await coordinator.request("PUT", path, 200, json=equal, headers=tag)
    assert await fetch_tag(coordinator, path) == tag
    assert fetch_events(owner_url, tenant.org_id) == []


@pytest.mark.parametrize(
    ("correction", "pointer"),
    [
        ({}, ""),
        ({"mentor_id": str(uuid4())}, "/mentor_id"),
        ({"activity_type": "yoga"}, "/activity_type"),
        ({"starts_at": "2026-03-02T10:00:00"}, "/starts_at"),
        ({"starts_at": "2200-01-01T10:00:00Z"}, "/starts_at"),
        ({"duration_minutes": 0}, "/duration_minutes"),
        ({"duration_minutes": 20161}, "/duration_minutes"),
        ({"participants": -1}, "/participants"),
        ({"participants": None}, "/participants"),
        ({"participants": 0}, "/new_participants"),
        ({"new_participants": 6}, "/new_participants"),
        ({"place": None}, "/place"),
        ({"place": "x" * 201}, "/place"),
        ({"in_person": 1}, "/in_person"),
        ({"in_norway": "ja"}, "/in_norway"),
        ({"note": "x" * 4001}, "/note"),
        ({"event_id": "course"}, "/event_id"),
    ],
)
async def test_correction_that_breaks_a_rule_of_registration_is_rejected(
    coordinator: UserClient, path: str, correction: Json, pointer: str
) -> None:
    before = await coordinator.request("GET", path, 200)
    problem = await coordinator.request("PUT", path, 422, json=correction, headers=ANY)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert await coordinator.request("GET", path, 200) == before


async def test_activity_type_can_be_corrected_by_its_name(coordinator: UserClient, path: str) -> None:
    corrected = await coordinator.request("PUT", path, 200, json={"activity_type": "Likepersonskurs"}, headers=ANY)
    assert corrected["activity_type"] == "likepersonskurs"


async def test_activity_cannot_be_moved_to_the_time_of_another_one(
    coordinator: UserClient, path: str, mentor: UUID, activity_factory: ActivityFactory, tenant: Tenant, owner_url: str
) -> None:
    other = activity_factory.create_activity(mentor, starts_at=START + timedelta(hours=2))
    colleague = activity_factory.create_mentor()
    activity_factory.create_activity(colleague, starts_at=START + timedelta(hours=1))
    for correction in ({"duration_minutes": 121}, {"starts_at": (START + timedelta(minutes=61)).isoformat()}):
        problem = await coordinator.request("PUT", path, 409, json=correction, headers=ANY)
        assert problem["code"] == "overlapping_activity"
    assert fetch_events(owner_url, tenant.org_id) == []
    await coordinator.request("PUT", path, 200, json={"duration_minutes": 120}, headers=ANY)
    await coordinator.request("DELETE", f"{ACTIVITIES}/{other}", 204)
    await coordinator.request("PUT", path, 200, json={"duration_minutes": 121}, headers=ANY)


async def test_deleted_activity_is_gone_and_its_time_is_free(
    coordinator: UserClient,
    path: str,
    mentor: UUID,
    activity_id: UUID,
    activity_factory: ActivityFactory,
    tenant: Tenant,
    owner_url: str,
) -> None:
    await coordinator.request("DELETE", path, 204)
    await coordinator.request("GET", path, 404)
    await coordinator.request("DELETE", path, 404)
    await coordinator.request("PUT", path, 404, json={"place": "Bodø"}, headers=ANY)
    assert (await coordinator.request("GET", ACTIVITIES, 200))["items"] == []
    assert fetch_events(owner_url, tenant.org_id) == [("activity_deleted", activity_id, {})]
    assert fetch_column(owner_url, activity_id, "deleted_at IS NOT NULL")
    activity_factory.create_activity(mentor, starts_at=START)


async def test_roles_that_may_register_may_correct_and_delete(
    client_of: Callable[[Role], UserClient],
    api_client: httpx.AsyncClient,
    bearer: Bearer,
    activity_factory: ActivityFactory,
    mentor: UUID,
    owner_url: str,
) -> None:
    for role in (Role.COORDINATOR, Role.ADMIN):
        own = f"{ACTIVITIES}/{activity_factory.create_activity(mentor)}"
        await client_of(role).request("PUT", own, 200, json={"place": "Bodø"}, headers=ANY)
        await client_of(role).request("DELETE", own, 204)
    path = f"{ACTIVITIES}/{activity_factory.create_activity(mentor)}"
    stranger = create_tenant(owner_url)
    strangers = UserClient(api_client, bearer(stranger.users[Role.ADMIN], stranger.org_id, Role.ADMIN))
    operator = UserClient(api_client, bearer(create_operator(owner_url), None, Role.OPERATOR))
    for client, status, read_status in (
        (client_of(Role.AUDITOR), 403, 200),
        (strangers, 404, 404),
        (operator, 403, 403),
    ):
        await client.request("GET", path, read_status)
        await client.request("PUT", path, status, json={"place": "Oslo"}, headers=ANY)
        await client.request("DELETE", path, status)
    assert (await client_of(Role.AUDITOR).request("GET", path, 200))["place"] == "Tromsø"
    await client_of(Role.ADMIN).request("GET", f"{ACTIVITIES}/{uuid4()}", 404)


async def test_item_keeps_naming_the_activity_that_was_deleted(
    coordinator: UserClient, mentor: UUID, tenant: Tenant, api_database: Database, worker_database: Database
) -> None:
    harness = BulkHarness(tenant, api_database, worker_database)
    job = harness.accept([mentor])
    harness.run(job)
    (item,) = harness.list_outcomes(job)
    await coordinator.request("DELETE", f"{ACTIVITIES}/{item.activity_id}", 204)
    page = await coordinator.request("GET", f"/bulk-registrations/{job.batch_id}/items", 200)
    assert [(each["status"], each["activity_id"]) for each in page["items"]] == [("registered", str(item.activity_id))]
    assert (await coordinator.request("GET", ACTIVITIES, 200, params={"batch_id": str(job.batch_id)}))["items"] == []
    again = build_batch(tenant.org_id, [mentor])
    assert (await coordinator.request("POST", "/bulk-registrations", 202, json=again))["counts"]["total"] == 1


async def test_only_one_of_two_corrections_at_once_succeeds(
    coordinator: UserClient, path: str, tenant: Tenant, owner_url: str
) -> None:
    tag = await fetch_tag(coordinator, path)

    async def correct(place: str) -> httpx.Response:
        headers = coordinator.headers | tag
        return await coordinator.http_client.put(f"/api/v1{path}", json={"place": place}, headers=headers)

    responses = await asyncio.gather(*(correct(place) for place in ("Bodø", "Oslo", "Alta", "Vadsø")))
    assert sorted(response.status_code for response in responses) == [200, 412, 412, 412]
    (winner,) = [response.json() for response in responses if response.is_success]
    assert await coordinator.request("GET", path, 200) == winner
    assert [event for event, _, _ in fetch_events(owner_url, tenant.org_id)] == ["activity_corrected"]


def test_two_activities_moved_to_one_time_at_once_do_not_deadlock(
    tenant: Tenant, mentor: UUID, activity_factory: ActivityFactory, api_database: Database
) -> None:
    service, caller = ActivityService(api_database), _coordinator_of(tenant)
    first, second = (activity_factory.create_activity(mentor) for _ in range(2))
    overlaps = list[UUID]()

    def move(activity_id: UUID, starts_at: datetime) -> None:
        correction = ActivityCorrection.model_validate({"starts_at": starts_at.isoformat()})
        try:
            service.correct(caller, activity_id, correction, range(1000))
        except OverlappingActivityError:
            overlaps.append(activity_id)

    for number in range(10):
        starts_at, before = START + timedelta(days=100 + number), len(overlaps)
        threads = [Thread(target=move, args=(activity_id, starts_at)) for activity_id in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(overlaps) == before + 1


async def test_correction_and_batch_of_the_same_mentor_do_not_deadlock(
    tenant: Tenant,
    mentor: UUID,
    activity_id: UUID,
    api_database: Database,
    worker_database: Database,
    owner_url: str,
) -> None:
    """The batch registers at the activity's new time, and then at its old one, while a correction moves it.

    A trigger stops the batch between the two; without a lock of the mentor each would wait for the other.
    """
    new_start = START - timedelta(days=30)
    harness, service = BulkHarness(tenant, api_database, worker_database), ActivityService(api_database)
    overrides = ({"starts_at": start.isoformat(), "place": place} for start, place in ((new_start, "1"), (START, "2")))
    job = harness.accept([build_item(mentor, client_ref=each["place"], overrides=each) for each in overrides])
    correction = ActivityCorrection.model_validate({"starts_at": new_start.isoformat()})
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(PAUSE_BATCH)
        try:
            owner.execute("SELECT pg_advisory_lock(70001)")
            batch = asyncio.create_task(asyncio.to_thread(harness.run, job))
            await _wait_until_blocked(owner, "stafett_worker")
            arguments = _coordinator_of(tenant), activity_id, correction, range(10)
            corrected = asyncio.create_task(asyncio.to_thread(service.correct, *arguments))
            await _wait_until_blocked(owner, "stafett_api")
        finally:
            owner.execute("SELECT pg_advisory_unlock(70001)")
        outcome, refusal = await asyncio.gather(batch, corrected, return_exceptions=True)
        owner.execute("DROP FUNCTION pause_batch CASCADE")
    assert isinstance(refusal, OverlappingActivityError)
    assert not isinstance(outcome, BaseException)
    assert harness.list_codes(job) == ["registered", "overlapping_activity"]


async def _wait_until_blocked(owner: psycopg.Connection, role: LiteralString) -> None:
    async def count() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = %s"
        return int((owner.execute(query, [role]).fetchone() or (0,))[0])

    await wait_until(count, bool)


def test_correction_waits_for_another_one_and_is_then_based_on_an_old_revision(
    tenant: Tenant, activity_id: UUID, api_database: Database, owner_url: str
) -> None:
    service, caller = ActivityService(api_database), _coordinator_of(tenant)
    outcomes = list[str]()

    def correct() -> None:
        try:
            service.correct(caller, activity_id, ActivityCorrection(place="Oslo"), {0})
        except PreconditionFailedError:
            outcomes.append("stale")

    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE activities SET edits = edits + 1, place = 'Bodø' WHERE id = %s", [activity_id])
        thread = Thread(target=correct)
        thread.start()
        _wait_for_lock(owner_url)
    thread.join()
    assert (outcomes, fetch_column(owner_url, activity_id, "place")) == (["stale"], "Bodø")


def _wait_for_lock(owner_url: str) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND query LIKE '%FROM activities%FOR NO KEY%'"
    )
    with psycopg.connect(owner_url, autocommit=True) as owner:
        while owner.execute(query.encode()).fetchone() == (0,):
            pass


def _coordinator_of(tenant: Tenant) -> Caller:
    return Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)


async def test_activities_are_found_by_the_start_of_their_id(
    coordinator: UserClient, activity_factory: ActivityFactory, mentor: UUID, activity_id: UUID
) -> None:
    activity_factory.create_activity(mentor)
    for start in (activity_id.hex[:8], activity_id.hex[:13], activity_id.hex, str(activity_id), str(activity_id)[:9]):
        query = {"id_prefix": start}
        items = (await coordinator.request("GET", ACTIVITIES, 200, params=query))["items"]
        assert [item["id"] for item in items] == [str(activity_id)]
    for invalid in ("0123456", "0123456g", f"{activity_id}0", "01234567--8"):
        await coordinator.request("GET", ACTIVITIES, 422, params={"id_prefix": invalid})


async def test_activities_are_found_by_the_start_of_their_event(
    coordinator: UserClient, activity_factory: ActivityFactory, mentor: UUID, activity_id: UUID
) -> None:
    activity_factory.create_activity(mentor)
    event_id = uuid4()
    await coordinator.request(
        "PUT", f"{ACTIVITIES}/{activity_id}", 200, json={"event_id": str(event_id)}, headers={"If-Match": "*"}
    )
    for length in (8, 32):
        query = {"event_id_prefix": event_id.hex[:length]}
        items = (await coordinator.request("GET", ACTIVITIES, 200, params=query))["items"]
        assert [item["id"] for item in items] == [str(activity_id)]
