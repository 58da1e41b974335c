"""Who may see an export's trail and who may have its file; and what of that is in the trail itself."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from api.app import create_app
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_tenant

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]
EXPORTS = "/api/v1/bufdir-exports"


class Clock:
    """Stands still, and goes on when the test says so."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def gateway_of(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_of(settings, clock) as client:
        yield client


@dataclasses.dataclass
class People:
    """Everybody who might ask."""

    tenant: Tenant
    bearer: Bearer
    owner_url: str

    def __getitem__(self, role: Role) -> dict[str, str]:
        return self.bearer(self.tenant.users[role], role=role)

    def another_coordinator(self) -> dict[str, str]:
        user_id = self._user()
        with psycopg.connect(self.owner_url) as connection:
            connection.execute("INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [user_id, self.tenant.org_id])
        return self.bearer(user_id)

    def operator(self) -> dict[str, str]:
        return self.bearer(self._user(is_operator=True), None, "operator")

    def neighbour(self, role: Role) -> dict[str, str]:
        other = create_tenant(self.owner_url, mapping=None)
        return self.bearer(other.users[role], other.org_id, role)

    def _user(self, *, is_operator: bool = False) -> UUID:
        user_id = uuid4()
        with psycopg.connect(self.owner_url) as connection:
            connection.execute(
                "INSERT INTO users VALUES (%s, %s, 'Prøve Prøvesen', %s)",
                [user_id, f"{user_id}@p.example", is_operator],
            )
        return user_id


@pytest.fixture
def people(tenant: Tenant, bearer: Bearer, owner_url: str) -> People:
    return People(tenant, bearer, owner_url)


@pytest_asyncio.fixture(loop_scope="session")
async def finished(button: ExportClient, diary: ActivityFactory, working: Working) -> str:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
    return export_id


async def events(button: ExportClient, export_id: str, **query: Any) -> Json:
    answer = await button.http_client.get(f"{EXPORTS}/{export_id}/audit", params=query, headers=button.headers)
    page: Json = answer.raise_for_status().json()
    return page


async def of_kind(button: ExportClient, export_id: str, kind: str) -> list[Json]:
    page = await events(button, export_id, page_size=200)
    return [event for event in page["items"] if event["event"] == kind]


async def test_the_events_of_an_export_stand_in_the_order_of_the_chain(button: ExportClient, finished: str) -> None:
    page = await events(button, finished)
    items = page["items"]
    assert page["next_page_token"] is None
    assert items[0].keys() == {"seq", "at", "actor", "event", "status", "detail", "hash", "previous_hash"}
    stages = [item["status"] for item in items if item["status"]]
    assert stages == [
        *("initialised", "querying_activities", "mapping_columns", "generating_file", "storing_file"),
        *("recording_audit", "completed"),
    ]
    assert [item["seq"] for item in items] == sorted(item["seq"] for item in items)
    assert all(later["previous_hash"] == one["hash"] for one, later in pairwise(items))
    assert all(item["at"].endswith("Z") for item in items)


async def test_pages_show_every_event_once(button: ExportClient, finished: str) -> None:
    whole = (await events(button, finished))["items"]
    page = await events(button, finished, page_size=3)
    seen = [page["items"]]
    while page["next_page_token"]:
        page = await events(button, finished, page_size=3, page_token=page["next_page_token"])
        seen.append(page["items"])
    assert all(len(items) == 3 for items in seen[:-1])
    assert [item for items in seen for item in items] == whole


@pytest.mark.parametrize("query", [{"page_size": 0}, {"page_size": 201}, {"page_token": "x"}, {"page_token": "WzBd"}])
async def test_a_page_asked_wrongly_is_pointed_at(button: ExportClient, query: Json) -> None:
    answer = await button.http_client.get(f"{EXPORTS}/{uuid4()}/audit", params=query, headers=button.headers)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"query:{next(iter(query))}"]


async def test_the_trail_is_shown_to_those_who_may_see_it(
    button: ExportClient, finished: str, people: People, gateway: httpx.AsyncClient
) -> None:
    async def asked(headers: dict[str, str], export_id: str = finished) -> tuple[int, str | None]:
        answer = await gateway.get(f"{EXPORTS}/{export_id}/audit", headers=headers)
        return answer.status_code, answer.json().get("code")

    for allowed in (button.headers, people[Role.ADMIN], people[Role.AUDITOR]):
        assert await asked(allowed) == (200, None)
    for refused in (people.another_coordinator(), people.operator()):
        assert await asked(refused) == (403, "permission_denied")
    for role in (Role.COORDINATOR, Role.ADMIN, Role.AUDITOR):
        assert await asked(people.neighbour(role)) == (404, "not_found")
    assert await asked(button.headers, str(uuid4())) == (404, "not_found")


async def test_the_file_is_given_to_those_who_may_have_it(
    button: ExportClient, finished: str, people: People, gateway: httpx.AsyncClient
) -> None:
    async def asked(headers: dict[str, str], export_id: str = finished) -> tuple[int, str | None]:
        answer = await gateway.get(f"{EXPORTS}/{export_id}/file", headers=headers)
        return answer.status_code, None if answer.has_redirect_location else answer.json()["code"]

    for allowed in (button.headers, people.another_coordinator(), people[Role.ADMIN]):
        assert await asked(allowed) == (303, None)
    for refused in (people[Role.AUDITOR], people.operator()):
        assert await asked(refused) == (403, "permission_denied")
    for role in (Role.COORDINATOR, Role.ADMIN, Role.AUDITOR):
        assert await asked(people.neighbour(role)) == (404, "not_found")
    assert await asked(button.headers, str(uuid4())) == (404, "not_found")
    assert len(await of_kind(button, finished, "file_downloaded")) == 3


async def test_going_to_the_file_is_an_event_each_time_and_leads_to_the_link(
    button: ExportClient, finished: str, tenant: Tenant, gateway: httpx.AsyncClient
) -> None:
    job = await button.get_export(finished)
    answers = [await gateway.get(f"{EXPORTS}/{finished}/file", headers=button.headers) for _ in range(2)]
    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [(303, job["download_url"])] * 2
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    async with httpx.AsyncClient() as anybody:
        assert len((await anybody.get(answers[0].headers["Location"])).content) == job["file"]["size_bytes"]
    written = await of_kind(button, finished, "file_downloaded")
    assert [event["actor"] for event in written] == [f"user:{tenant.coordinator}"] * 2
    assert written[0]["detail"] == {"attempt": 1, "sha256": job["file"]["sha256"]}


async def test_before_there_is_a_file_and_where_there_is_none_it_is_409(
    button: ExportClient, working: Working, gateway: httpx.AsyncClient
) -> None:
    async def refusal(export_id: str) -> tuple[int, str, str]:
        answer = await gateway.get(f"{EXPORTS}/{export_id}/file", headers=button.headers)
        problem = answer.json()
        return answer.status_code, problem["code"], problem["detail"]

    empty = await button.start_export()
    assert await refusal(empty) == (409, "not_finished", "The export is not finished, and has no file yet.")
    failed = await button.start_export(fail_on_empty=True)
    async with working():
        await button.wait_for_completion(empty)
        await button.wait_for_completion(failed)
    nothing = "There was nothing to report in this period, so the export has no file."
    assert await refusal(empty) == (409, "no_file", nothing)
    assert await refusal(failed) == (409, "no_file", "The export is failed, and has no file.")
    assert await of_kind(button, empty, "file_downloaded") == []


async def test_a_link_is_one_event_a_user_a_file_and_a_day_however_often_it_is_asked_for(
    button: ExportClient, finished: str, clock: Clock, people: People, tenant: Tenant
) -> None:
    coordinator, admin = button.headers, people[Role.ADMIN]
    for headers in (coordinator, admin, coordinator, admin):
        button.headers = headers
        await asyncio.gather(*(button.get_export(finished) for _ in range(5)))
    today = clock.now.date()
    clock.now += timedelta(days=1)
    button.headers = coordinator
    job = await button.get_export(finished)
    issued = await of_kind(button, finished, "link_issued")
    told = [(event["actor"], event["detail"]["day"]) for event in issued]
    assert sorted(told) == sorted(
        [
            (f"user:{tenant.coordinator}", today.isoformat()),
            (f"user:{tenant.users[Role.ADMIN]}", today.isoformat()),
            (f"user:{tenant.coordinator}", clock.now.date().isoformat()),
        ]
    )
    assert {event["detail"]["sha256"] for event in issued} == {job["file"]["sha256"]}
    assert {frozenset(event["detail"]) for event in issued} == {frozenset({"attempt", "day", "sha256"})}


async def test_who_is_given_no_link_leaves_no_event(
    button: ExportClient, finished: str, clock: Clock, people: People
) -> None:
    before = len(await of_kind(button, finished, "link_issued"))
    clock.now += timedelta(days=30)
    coordinator = button.headers
    unchanged = await button.http_client.get(f"{EXPORTS}/{finished}", headers=coordinator | {"If-None-Match": "*"})
    assert unchanged.status_code == 304
    for headers in (people[Role.AUDITOR], people.operator()):
        button.headers = headers
        assert (await button.get_export(finished))["download_url"] is None
    await button.http_client.get(EXPORTS, headers=coordinator)
    button.headers = coordinator
    assert len(await of_kind(button, finished, "link_issued")) == before


@pytest.fixture
def chain_held(owner_url: str, tenant: Tenant) -> Iterator[psycopg.Connection]:
    """Somebody is writing into the organisation's trail, and takes their time."""
    with psycopg.connect(owner_url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('audit:' || %s, 0))", [tenant.org_id])
        yield connection
        connection.rollback()


async def test_polling_waits_for_nobody_who_writes_into_the_trail(
    button: ExportClient, finished: str, request: pytest.FixtureRequest
) -> None:
    url = (await button.get_export(finished))["download_url"]
    request.getfixturevalue("chain_held")
    assert (await button.get_export(finished))["download_url"] == url


async def test_a_link_that_cannot_be_written_down_is_not_handed_out(
    button: ExportClient, finished: str, clock: Clock, settings: Settings, owner_url: str
) -> None:
    """As on a standby: everything can be read, and nothing written."""
    known = (await button.get_export(finished))["download_url"]
    read_only = sql.SQL("ALTER ROLE stafett_api {} default_transaction_read_only")
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(read_only.format(sql.SQL("SET")) + sql.SQL(" = on"))
        try:
            async with gateway_of(settings, clock) as standby:
                same_day = await standby.get(f"{EXPORTS}/{finished}", headers=button.headers)
                clock.now += timedelta(days=1)
                next_day = await standby.get(f"{EXPORTS}/{finished}", headers=button.headers)
                file = await standby.get(f"{EXPORTS}/{finished}/file", headers=button.headers)
        finally:
            owner.execute(read_only.format(sql.SQL("RESET")))
    assert same_day.json()["download_url"] == known
    for refused in (next_day, file):
        assert (refused.status_code, refused.json()["code"]) == (503, "service_unavailable")
        assert "X-Amz-Signature" not in refused.text
        assert "Location" not in refused.headers
