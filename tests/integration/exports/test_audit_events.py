"""Access to an export's audit events and to its file, and the audit events about downloads."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
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
from tests.support.fixture_types import Bearer, RunWorker

EXPORTS = "/api/v1/bufdir-exports"


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def open_api_client(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with open_api_client(settings, clock) as client:
        yield client


@dataclasses.dataclass
class Users:
    """Authorization headers for the users of the tenant, of another tenant and for operators."""

    tenant: Tenant
    bearer: Bearer
    owner_url: str

    def __getitem__(self, role: Role) -> dict[str, str]:
        return self.bearer(self.tenant.users[role], role=role)

    def create_colleague(self) -> dict[str, str]:
        user_id = self._insert_user()
        with psycopg.connect(self.owner_url) as connection:
            connection.execute("INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [user_id, self.tenant.org_id])
        return self.bearer(user_id)

    def create_operator(self) -> dict[str, str]:
        return self.bearer(self._insert_user(is_operator=True), None, "operator")

    def create_outsider(self, role: Role) -> dict[str, str]:
        other_tenant = create_tenant(self.owner_url, mapping=None)
        return self.bearer(other_tenant.users[role], other_tenant.org_id, role)

    def _insert_user(self, *, is_operator: bool = False) -> UUID:
        user_id = uuid4()
        with psycopg.connect(self.owner_url) as connection:
            connection.execute(
                "INSERT INTO users VALUES (%s, %s, 'Prøve Prøvesen', %s)",
                [user_id, f"{user_id}@p.example", is_operator],
            )
        return user_id


@pytest.fixture
def users(tenant: Tenant, bearer: Bearer, owner_url: str) -> Users:
    return Users(tenant, bearer, owner_url)


@pytest_asyncio.fixture(loop_scope="session")
async def finished_export_id(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> str:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    return export_id


async def fetch_page(export_client: ExportClient, export_id: str, **query: Any) -> Json:
    response = await export_client.http_client.get(
        f"{EXPORTS}/{export_id}/audit", params=query, headers=export_client.headers
    )
    page: Json = response.raise_for_status().json()
    return page


async def fetch_events_of_kind(export_client: ExportClient, export_id: str, kind: str) -> list[Json]:
    page = await fetch_page(export_client, export_id, page_size=200)
    return [event for event in page["items"] if event["event"] == kind]


async def test_audit_events_are_listed_in_chain_order(export_client: ExportClient, finished_export_id: str) -> None:
    page = await fetch_page(export_client, finished_export_id)
    items = page["items"]
    assert page["next_page_token"] is None
    assert items[0].keys() == {"seq", "at", "actor", "event", "status", "detail", "hash", "previous_hash"}
    stages = [item["status"] for item in items if item["status"]]
    assert stages == [
        *("initialised", "querying_activities", "mapping_columns", "generating_file", "storing_file"),
        *("recording_audit", "completed"),
    ]
    assert [item["seq"] for item in items] == sorted(item["seq"] for item in items)
    assert all(later["previous_hash"] == earlier["hash"] for earlier, later in pairwise(items))
    assert all(item["at"].endswith("Z") for item in items)


async def test_pages_list_every_event_once(export_client: ExportClient, finished_export_id: str) -> None:
    all_events = (await fetch_page(export_client, finished_export_id))["items"]
    page = await fetch_page(export_client, finished_export_id, page_size=3)
    pages = [page["items"]]
    while page["next_page_token"]:
        page = await fetch_page(export_client, finished_export_id, page_size=3, page_token=page["next_page_token"])
        pages.append(page["items"])
    assert all(len(items) == 3 for items in pages[:-1])
    assert [item for items in pages for item in items] == all_events


@pytest.mark.parametrize("query", [{"page_size": 0}, {"page_size": 201}, {"page_token": "x"}, {"page_token": "WzBd"}])
async def test_invalid_page_query_is_rejected_with_its_parameter(export_client: ExportClient, query: Json) -> None:
    response = await export_client.http_client.get(
        f"{EXPORTS}/{uuid4()}/audit", params=query, headers=export_client.headers
    )
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [f"query:{next(iter(query))}"]


async def test_audit_events_are_visible_to_permitted_users_only(
    export_client: ExportClient, finished_export_id: str, users: Users, api_client: httpx.AsyncClient
) -> None:
    async def request_as(headers: dict[str, str], export_id: str = finished_export_id) -> tuple[int, str | None]:
        response = await api_client.get(f"{EXPORTS}/{export_id}/audit", headers=headers)
        return response.status_code, response.json().get("code")

    for permitted in (export_client.headers, users[Role.ADMIN], users[Role.AUDITOR]):
        assert await request_as(permitted) == (200, None)
    for forbidden in (users.create_colleague(), users.create_operator()):
        assert await request_as(forbidden) == (403, "permission_denied")
    for role in (Role.COORDINATOR, Role.ADMIN, Role.AUDITOR):
        assert await request_as(users.create_outsider(role)) == (404, "not_found")
    assert await request_as(export_client.headers, str(uuid4())) == (404, "not_found")


async def test_file_is_available_to_permitted_users_only(
    export_client: ExportClient, finished_export_id: str, users: Users, api_client: httpx.AsyncClient
) -> None:
    async def request_as(headers: dict[str, str], export_id: str = finished_export_id) -> tuple[int, str | None]:
        response = await api_client.get(f"{EXPORTS}/{export_id}/file", headers=headers)
        return response.status_code, None if response.has_redirect_location else response.json()["code"]

    for permitted in (export_client.headers, users.create_colleague(), users[Role.ADMIN]):
        assert await request_as(permitted) == (303, None)
    for forbidden in (users[Role.AUDITOR], users.create_operator()):
        assert await request_as(forbidden) == (403, "permission_denied")
    for role in (Role.COORDINATOR, Role.ADMIN, Role.AUDITOR):
        assert await request_as(users.create_outsider(role)) == (404, "not_found")
    assert await request_as(export_client.headers, str(uuid4())) == (404, "not_found")
    assert len(await fetch_events_of_kind(export_client, finished_export_id, "file_downloaded")) == 3


async def test_every_file_request_redirects_to_the_link_and_is_an_event(
    export_client: ExportClient, finished_export_id: str, tenant: Tenant, api_client: httpx.AsyncClient
) -> None:
    job = await export_client.get_export(finished_export_id)
    responses = [
        await api_client.get(f"{EXPORTS}/{finished_export_id}/file", headers=export_client.headers) for _ in range(2)
    ]
    redirects = [(response.status_code, response.headers["Location"]) for response in responses]
    assert redirects == [(303, job["download_url"])] * 2
    assert {response.headers["Cache-Control"] for response in responses} == {"no-store"}
    async with httpx.AsyncClient() as anonymous_client:
        assert len((await anonymous_client.get(responses[0].headers["Location"])).content) == job["file"]["size_bytes"]
    downloads = await fetch_events_of_kind(export_client, finished_export_id, "file_downloaded")
    assert [event["actor"] for event in downloads] == [f"user:{tenant.coordinator}"] * 2
    assert downloads[0]["detail"] == {"attempt": 1, "sha256": job["file"]["sha256"]}


async def test_file_of_an_unfinished_or_empty_export_is_a_conflict(
    export_client: ExportClient, run_worker: RunWorker, api_client: httpx.AsyncClient
) -> None:
    async def request_file(export_id: str) -> tuple[int, str, str]:
        response = await api_client.get(f"{EXPORTS}/{export_id}/file", headers=export_client.headers)
        problem = response.json()
        return response.status_code, problem["code"], problem["detail"]

    empty = await export_client.start_export()
    assert await request_file(empty) == (409, "not_finished", "The export is not finished and has no file yet.")
    failed = await export_client.start_export(fail_on_empty=True)
    async with run_worker():
        await export_client.wait_for_completion(empty)
        await export_client.wait_for_completion(failed)
    no_activities = "There were no activities in this period, so the export has no file."
    assert await request_file(empty) == (409, "no_file", no_activities)
    assert await request_file(failed) == (409, "no_file", "The export is failed and has no file.")
    assert await fetch_events_of_kind(export_client, empty, "file_downloaded") == []


async def test_link_is_recorded_once_per_user_file_and_day(
    export_client: ExportClient, finished_export_id: str, clock: Clock, users: Users, tenant: Tenant
) -> None:
    coordinator, admin = export_client.headers, users[Role.ADMIN]
    for headers in (coordinator, admin, coordinator, admin):
        export_client.headers = headers
        await asyncio.gather(*(export_client.get_export(finished_export_id) for _ in range(5)))
    today = clock.now.date()
    clock.now += timedelta(days=1)
    export_client.headers = coordinator
    job = await export_client.get_export(finished_export_id)
    issued = await fetch_events_of_kind(export_client, finished_export_id, "link_issued")
    actors_and_days = [(event["actor"], event["detail"]["day"]) for event in issued]
    assert sorted(actors_and_days) == sorted(
        [
            (f"user:{tenant.coordinator}", today.isoformat()),
            (f"user:{tenant.users[Role.ADMIN]}", today.isoformat()),
            (f"user:{tenant.coordinator}", clock.now.date().isoformat()),
        ]
    )
    assert {event["detail"]["sha256"] for event in issued} == {job["file"]["sha256"]}
    assert {frozenset(event["detail"]) for event in issued} == {frozenset({"attempt", "day", "sha256"})}


async def test_responses_without_a_link_are_not_recorded(
    export_client: ExportClient, finished_export_id: str, clock: Clock, users: Users
) -> None:
    before = len(await fetch_events_of_kind(export_client, finished_export_id, "link_issued"))
    clock.now += timedelta(days=30)
    coordinator = export_client.headers
    unchanged = await export_client.http_client.get(
        f"{EXPORTS}/{finished_export_id}", headers=coordinator | {"If-None-Match": "*"}
    )
    assert unchanged.status_code == 304
    for headers in (users[Role.AUDITOR], users.create_operator()):
        export_client.headers = headers
        assert (await export_client.get_export(finished_export_id))["download_url"] is None
    await export_client.http_client.get(EXPORTS, headers=coordinator)
    export_client.headers = coordinator
    assert len(await fetch_events_of_kind(export_client, finished_export_id, "link_issued")) == before


@pytest.fixture
def locked_chain(owner_url: str, tenant: Tenant) -> Iterator[psycopg.Connection]:
    """Lock the organisation's audit chain, as a slow writer would."""
    with psycopg.connect(owner_url) as connection:
        connection.execute("SELECT FROM audit_chain_locks WHERE org_id = %s FOR UPDATE", [tenant.org_id])
        yield connection
        connection.rollback()


async def test_polling_does_not_wait_for_the_lock_on_the_audit_chain(
    export_client: ExportClient, finished_export_id: str, request: pytest.FixtureRequest
) -> None:
    url = (await export_client.get_export(finished_export_id))["download_url"]
    request.getfixturevalue("locked_chain")
    assert (await export_client.get_export(finished_export_id))["download_url"] == url


async def test_link_is_withheld_if_its_event_cannot_be_written(
    export_client: ExportClient, finished_export_id: str, clock: Clock, settings: Settings, owner_url: str
) -> None:
    """The database is read-only, as on a standby."""
    url = (await export_client.get_export(finished_export_id))["download_url"]
    read_only = sql.SQL("ALTER ROLE stafett_api {} default_transaction_read_only")
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(read_only.format(sql.SQL("SET")) + sql.SQL(" = on"))
        try:
            async with open_api_client(settings, clock) as standby:
                same_day = await standby.get(f"{EXPORTS}/{finished_export_id}", headers=export_client.headers)
                clock.now += timedelta(days=1)
                next_day = await standby.get(f"{EXPORTS}/{finished_export_id}", headers=export_client.headers)
                file = await standby.get(f"{EXPORTS}/{finished_export_id}/file", headers=export_client.headers)
        finally:
            owner.execute(read_only.format(sql.SQL("RESET")))
    assert same_day.json()["download_url"] == url
    for response in (next_day, file):
        assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
        assert "X-Amz-Signature" not in response.text
        assert "Location" not in response.headers
