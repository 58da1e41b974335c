"""A download link changes at midnight and the ETag with it, so that a polling client never keeps an expired link."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio

from api.app import create_app
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.testing import ActivityFactory, ExportClient, Tenant
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.statements import record_statements


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 7, 1, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


async def get_export(export_client: ExportClient, export_id: str, **headers: str) -> httpx.Response:
    return await export_client.http_client.get(
        f"/api/v1/bufdir-exports/{export_id}", headers=export_client.headers | headers
    )


@pytest_asyncio.fixture(loop_scope="session")
async def completed_export(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> str:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    return export_id


async def test_etag_changes_only_when_the_link_changes_at_midnight(
    export_client: ExportClient, completed_export: str, clock: Clock
) -> None:
    morning = await get_export(export_client, completed_export)
    clock.now += timedelta(hours=24) - timedelta(microseconds=1)
    evening = await get_export(export_client, completed_export, **{"If-None-Match": morning.headers["ETag"]})
    assert (evening.status_code, evening.headers["ETag"]) == (304, morning.headers["ETag"])

    clock.now += timedelta(microseconds=1)
    next_day = await get_export(export_client, completed_export, **{"If-None-Match": morning.headers["ETag"]})
    assert next_day.status_code == 200
    assert next_day.headers["ETag"] != morning.headers["ETag"]
    assert next_day.json()["download_url"] != morning.json()["download_url"]
    assert next_day.headers["ETag"].split("-")[0] == morning.headers["ETag"].split("-")[0]


async def test_etag_without_download_permission_is_stable_over_midnight(
    export_client: ExportClient, completed_export: str, clock: Clock, tenant: Tenant, bearer: Bearer
) -> None:
    with_link = (await get_export(export_client, completed_export)).headers["ETag"]
    export_client.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    without = await get_export(export_client, completed_export, **{"If-None-Match": with_link})
    assert (without.status_code, without.json()["download_url"]) == (200, None)
    clock.now += timedelta(days=1)
    assert (
        await get_export(export_client, completed_export, **{"If-None-Match": without.headers["ETag"]})
    ).status_code == 304


async def test_etag_of_an_export_without_a_link_is_stable_over_midnight(
    export_client: ExportClient, clock: Clock
) -> None:
    accepted = await export_client.request_export()
    clock.now += timedelta(days=1)
    next_day = await get_export(export_client, accepted.json()["id"], **{"If-None-Match": accepted.headers["ETag"]})
    assert next_day.status_code == 304


async def test_304_reads_no_partial_failures(export_client: ExportClient, completed_export: str) -> None:
    with record_statements() as statements:
        first = await get_export(export_client, completed_export)
        assert any("export_partial_failures" in statement for statement in statements)
        statements.clear()
        repeated = await get_export(export_client, completed_export, **{"If-None-Match": first.headers["etag"]})
    assert repeated.status_code == httpx.codes.NOT_MODIFIED
    assert repeated.headers["cache-control"] == "no-store"
    assert len(statements) == 1
