"""Polls with an entity tag: one statement decides them, and nothing about access differs from a full response."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio

from api.callers import AccessQuery, JobKey, load_access
from api.polls import build_job_headers
from stafett.database.session import Database
from stafett.domain.job import JobKind
from stafett.domain.membership import Role
from stafett.testing import ExportClient, Tenant, create_operator, create_tenant
from tests.support.api_fixtures import ApiFixtures
from tests.support.fixture_types import Bearer
from tests.support.statements import record_statements

EXPORTS = "/api/v1/bufdir-exports"
_OTHER_HEADERS = {"x-request-id", "content-type"}  # FastAPI adds the type, which a 304 does not need


@pytest.fixture
def api_fixtures(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> ApiFixtures:
    return ApiFixtures(owner_url, tenant, api_database, worker_database)


async def poll(export_client: ExportClient, path: str, tag: str, **headers: str) -> httpx.Response:
    return await export_client.http_client.get(path, headers=export_client.headers | {"If-None-Match": tag} | headers)


async def accept_export(export_client: ExportClient) -> tuple[str, str]:
    """Accept an export that no worker runs, and return its path and tag."""
    accepted = await export_client.request_export()
    return f"{EXPORTS}/{accepted.json()['id']}", accepted.headers["ETag"]


def execute(owner_url: str, statement: LiteralString, *values: object) -> None:
    with psycopg.connect(owner_url) as owner:
        owner.execute(statement, values)


@pytest.mark.parametrize(
    ("collection", "parameter"),
    [(EXPORTS, "export_id"), ("/api/v1/report-reexports", "reexport_id"), ("/api/v1/bulk-registrations", "batch_id")],
)
async def test_unchanged_job_of_each_kind_costs_one_statement(
    export_client: ExportClient, api_fixtures: ApiFixtures, collection: str, parameter: str
) -> None:
    path = f"{collection}/{api_fixtures.factories[parameter]()}"
    loaded = await export_client.http_client.get(path, headers=export_client.headers)
    with record_statements() as statements:
        polled = await poll(export_client, path, loaded.headers["ETag"])
    assert (polled.status_code, polled.content) == (304, b"")
    assert len(statements) == 1


async def test_304_without_the_job_has_the_headers_of_one_with_it(export_client: ExportClient) -> None:
    path, tag = await accept_export(export_client)
    fast, full = [await poll(export_client, path, header) for header in (tag, "*")]
    assert (fast.status_code, full.status_code) == (304, 304)
    headers = [
        {name: value for name, value in response.headers.items() if name not in _OTHER_HEADERS}
        for response in (fast, full)
    ]
    assert headers[0] == headers[1]
    assert headers[0]["etag"] == tag
    assert "retry-after" in headers[0]


async def test_tags_are_compared_as_if_the_job_was_loaded(export_client: ExportClient) -> None:
    path, tag = await accept_export(export_client)
    current = [f"W/{tag}", f'"0-99", {tag}', f'{tag} , "x"', f'"x",W/{tag}', "*", f"{tag}, *"]
    other = ['"0-99"', '"1-0"', tag.strip('"'), "", '"', "W/", f"w/{tag}", f'"{tag}"', '"0-0 0"', f"x{tag}"]
    responses = [await poll(export_client, path, header) for header in (*current, *other)]
    assert [response.status_code for response in responses] == [304] * len(current) + [200] * len(other)


async def test_changed_job_is_sent(export_client: ExportClient, owner_url: str) -> None:
    path, tag = await accept_export(export_client)
    execute(owner_url, "UPDATE exports SET progress = '{}' WHERE id = %s", path.rpartition("/")[2])
    changed = await poll(export_client, path, tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    assert (await poll(export_client, path, changed.headers["ETag"])).status_code == 304


async def test_poll_of_what_the_caller_cannot_see_is_404(
    export_client: ExportClient, owner_url: str, bearer: Bearer, api_fixtures: ApiFixtures
) -> None:
    path, tag = await accept_export(export_client)
    stranger = create_tenant(owner_url)
    headers = bearer(stranger.coordinator, stranger.org_id)
    batch_id = api_fixtures.factories["batch_id"]()
    batch = await export_client.http_client.get(f"/api/v1/bulk-registrations/{batch_id}", headers=export_client.headers)
    responses = [
        await poll(export_client, path, tag, **headers),
        await poll(export_client, f"{EXPORTS}/{uuid4()}", tag),
        await poll(export_client, f"{EXPORTS}/{batch_id}", batch.headers["ETag"]),
        await poll(export_client, f"{EXPORTS}/nothing", tag),
    ]
    assert [response.status_code for response in responses] == [404] * 4


async def test_poll_of_a_deleted_job_is_404(
    export_client: ExportClient, api_fixtures: ApiFixtures, tenant: Tenant, bearer: Bearer
) -> None:
    path = f"{EXPORTS}/{api_fixtures.create_failed_export().id}"
    tag = (await export_client.http_client.get(path, headers=export_client.headers)).headers["ETag"]
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await export_client.http_client.delete(path, headers=admin)).status_code == 204
    assert (await poll(export_client, path, tag)).status_code == 404


async def test_removed_member_is_denied_at_once(export_client: ExportClient, tenant: Tenant, owner_url: str) -> None:
    path, tag = await accept_export(export_client)
    assert (await poll(export_client, path, tag)).status_code == 304
    execute(owner_url, "DELETE FROM memberships WHERE user_id = %s", tenant.coordinator)
    assert (await poll(export_client, path, tag)).status_code == 403


async def test_invalid_token_is_rejected(export_client: ExportClient) -> None:
    path, tag = await accept_export(export_client)
    for authorization in ("Bearer x", "Basic x", ""):
        assert (await poll(export_client, path, tag, Authorization=authorization)).status_code == 401


async def test_poll_with_a_repeated_parameter_is_invalid(export_client: ExportClient) -> None:
    path, tag = await accept_export(export_client)
    assert (await poll(export_client, f"{path}?a=1&a=2", tag)).status_code == 422


@dataclass(frozen=True)
class PollingKey:
    """An API key that has read nothing yet."""

    id: str
    headers: dict[str, str]
    list_keys: Callable[[], Awaitable[httpx.Response]]


@pytest_asyncio.fixture(loop_scope="session")
async def polling_key(export_client: ExportClient, tenant: Tenant, bearer: Bearer) -> PollingKey:
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    keys, body = f"/api/v1/organisations/{tenant.org_id}/api-keys", {"name": "Poller", "role": "auditor"}
    key = (await export_client.http_client.post(keys, headers=admin, json=body)).json()
    list_keys = partial(export_client.http_client.get, keys, headers=admin)
    return PollingKey(key["id"], {"Authorization": f"Bearer {key['secret']}"}, list_keys)


async def test_poll_records_the_use_of_a_key(export_client: ExportClient, polling_key: PollingKey) -> None:
    path, tag = await accept_export(export_client)
    assert (await poll(export_client, path, tag, **polling_key.headers)).status_code == 304
    (listed,) = (await polling_key.list_keys()).json()["items"]
    assert listed["last_used_at"] is not None


async def test_poll_does_not_wait_for_a_locked_key(
    export_client: ExportClient, polling_key: PollingKey, owner_url: str
) -> None:
    path, tag = await accept_export(export_client)
    with psycopg.connect(owner_url) as owner:
        owner.execute("SELECT FROM api_keys WHERE id = %s FOR UPDATE", [polling_key.id])
        assert (await poll(export_client, path, tag, **polling_key.headers)).status_code == 304
    (listed,) = (await polling_key.list_keys()).json()["items"]
    assert listed["last_used_at"] is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE api_keys SET revoked_at = now() WHERE id = %s",
        "UPDATE api_keys SET expires_at = created_at + interval '1 microsecond' WHERE id = %s",
    ],
)
async def test_key_that_became_invalid_is_rejected_at_once(
    export_client: ExportClient, polling_key: PollingKey, owner_url: str, change: LiteralString
) -> None:
    path, tag = await accept_export(export_client)
    assert (await poll(export_client, path, tag, **polling_key.headers)).status_code == 304
    with psycopg.connect(owner_url) as owner:
        owner.execute("SET session_replication_role = replica")  # without the trigger that protects the expiry
        owner.execute(change, [polling_key.id])
    assert (await poll(export_client, path, tag, **polling_key.headers)).status_code == 401


async def test_operator_is_answered_304_for_any_organisation(
    export_client: ExportClient, owner_url: str, bearer: Bearer
) -> None:
    path, tag = await accept_export(export_client)
    operator = bearer(create_operator(owner_url), None, "operator")
    assert (await poll(export_client, path, tag, **operator)).status_code == 304


async def test_concurrent_polls_share_statements(
    export_client: ExportClient, owner_url: str, bearer: Bearer, tenant: Tenant
) -> None:
    path, tag = await accept_export(export_client)
    await poll(export_client, path, tag)
    auditor, stranger = bearer(tenant.users[Role.AUDITOR], role="auditor"), create_tenant(owner_url)
    callers = (export_client.headers, auditor, bearer(stranger.coordinator, stranger.org_id))
    for headers in callers:  # the tokens are verified once
        await poll(export_client, path, tag, **headers)
    with record_statements() as statements:
        responses = await asyncio.gather(*(poll(export_client, path, tag, **headers) for headers in callers * 10))
    assert [response.status_code for response in responses] == [304, 304, 404] * 10
    assert sum("load_access" in statement for statement in statements) <= 3


def test_access_of_one_request_shows_nothing_of_another(
    api_database: Database, api_fixtures: ApiFixtures, tenant: Tenant, owner_url: str
) -> None:
    stranger, operator = create_tenant(owner_url), create_operator(owner_url)
    job = JobKey(JobKind.BUFDIR_EXPORT, api_fixtures.create_failed_export().id)
    cases: list[tuple[UUID, str | None, UUID | None, Role | None, bool]] = [
        (tenant.coordinator, tenant.org_id, None, Role.COORDINATOR, True),
        (stranger.coordinator, stranger.org_id, None, Role.COORDINATOR, False),
        (operator, None, None, None, False),
        (tenant.users[Role.ADMIN], tenant.org_id, None, Role.ADMIN, True),
        (stranger.coordinator, tenant.org_id, None, None, True),
        (tenant.coordinator, None, None, None, False),
        (uuid4(), tenant.org_id, uuid4(), None, True),
    ]
    queries = [AccessQuery(*case[:3], job) for case in cases]
    loaded = load_access(api_database, queries)
    assert [access.query for access in loaded] == queries
    assert [(access.role, access.revision is not None) for access in loaded] == [case[3:] for case in cases]
    assert [access.is_operator for access in loaded] == [user == operator for user, *_ in cases]
    assert {access.key_role for access in loaded} == {None}


@pytest.mark.parametrize(
    ("unchanged_for", "expected"),
    [(timedelta(0), "1"), (timedelta(seconds=-60), "1"), (timedelta(seconds=60), "6"), (timedelta(days=1), "15")],
)
def test_retry_after_grows_with_the_time_without_a_change(unchanged_for: timedelta, expected: str) -> None:
    headers = build_job_headers('"0-0"', datetime.now(UTC) - unchanged_for, is_finished=False, has_link=False)
    assert headers["Retry-After"] == expected
