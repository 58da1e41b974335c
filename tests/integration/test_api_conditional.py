"""A link rolls at midnight, and the tag with it: who polls is never left with a dead link."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio

from api.app import create_app
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.testing import ActivityFactory, ExportClient, Tenant

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


class Clock:
    """Shows what the test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 7, 1, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


async def read(button: ExportClient, export_id: str, **headers: str) -> httpx.Response:
    return await button.http_client.get(f"/api/v1/bufdir-exports/{export_id}", headers=button.headers | headers)


@pytest_asyncio.fixture(loop_scope="session")
async def finished(button: ExportClient, diary: ActivityFactory, working: Working) -> str:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
    return export_id


async def test_the_tag_stays_all_day_and_changes_with_the_link(
    button: ExportClient, finished: str, clock: Clock
) -> None:
    morning = await read(button, finished)
    clock.now += timedelta(hours=24) - timedelta(microseconds=1)
    evening = await read(button, finished, **{"If-None-Match": morning.headers["ETag"]})
    assert (evening.status_code, evening.headers["ETag"]) == (304, morning.headers["ETag"])

    clock.now += timedelta(microseconds=1)
    next_day = await read(button, finished, **{"If-None-Match": morning.headers["ETag"]})
    assert next_day.status_code == 200
    assert next_day.headers["ETag"] != morning.headers["ETag"]
    assert next_day.json()["download_url"] != morning.json()["download_url"]
    assert next_day.headers["ETag"].split("-")[0] == morning.headers["ETag"].split("-")[0]


async def test_who_may_not_download_has_another_tag_that_outlives_midnight(
    button: ExportClient, finished: str, clock: Clock, tenant: Tenant, bearer: Bearer
) -> None:
    with_link = (await read(button, finished)).headers["ETag"]
    button.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    without = await read(button, finished, **{"If-None-Match": with_link})
    assert (without.status_code, without.json()["download_url"]) == (200, None)
    clock.now += timedelta(days=1)
    assert (await read(button, finished, **{"If-None-Match": without.headers["ETag"]})).status_code == 304


async def test_an_answer_without_a_link_keeps_its_tag_over_midnight(button: ExportClient, clock: Clock) -> None:
    accepted = await button.request_export()
    clock.now += timedelta(days=1)
    again = await read(button, accepted.json()["id"], **{"If-None-Match": accepted.headers["ETag"]})
    assert again.status_code == 304
