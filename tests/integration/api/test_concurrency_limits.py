"""Limits on what one user and one organisation occupy at once; other users are not affected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from structlog.testing import capture_logs

from api.app import create_app
from api.concurrency import OccupyingUse
from api.dependencies import Services
from stafett.domain.membership import Caller, Role
from stafett.settings import ApiSettings, ConcurrencySettings, Settings
from stafett.testing import ExportClient, Tenant, create_tenant, wait_until
from tests.support.fixture_types import Bearer
from tests.support.http_server import serve_app

_EXPORTS, _BATCHES = "/api/v1/bufdir-exports", "/api/v1/bulk-registrations"
_PER_USER, _PER_ORGANISATION = 2, 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    per_user = {f"{use}_per_user": _PER_USER for use in OccupyingUse}
    per_organisation = {f"{use}_per_organisation": _PER_ORGANISATION for use in OccupyingUse}
    concurrency = ConcurrencySettings.model_validate(per_user | per_organisation)
    return settings.model_copy(update={"api": ApiSettings(concurrency=concurrency)})


@pytest_asyncio.fixture(loop_scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
def services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


def assert_refused(response: httpx.Response) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"], problem["retryable"]) == (429, "too_many_requests", True)
    assert int(response.headers["Retry-After"]) > 0


async def send_preview(client: ExportClient) -> httpx.Response:
    body = {"org_id": client.org_id, "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
    return await client.http_client.post(
        f"{_EXPORTS}/preview", json=body | {"export_format": "csv"}, headers=client.headers, timeout=90
    )


async def send_validation(client: ExportClient) -> httpx.Response:
    body = {"org_id": client.org_id, "activity": {}, "items": [{"mentor_id": "m"}], "validate_only": True}
    activity = {"activity_type": "samtalegruppe", "starts_at": "2026-03-02T10:00:00+01:00", "duration_minutes": 60}
    activity |= {"participants": 5, "new_participants": 1, "place": "Tromsø", "in_person": True, "in_norway": True}
    return await client.http_client.post(_BATCHES, json=body | {"activity": activity}, headers=client.headers)


async def send_large_list(client: ExportClient) -> httpx.Response:
    return await client.http_client.get(_EXPORTS, params={"page_size": 200}, headers=client.headers)


async def send_large_body(client: ExportClient) -> httpx.Response:
    return await client.http_client.post(_EXPORTS, json={"x": "y" * 100_000}, headers=client.headers)


async def send_wait(client: ExportClient) -> httpx.Response:
    body = {"org_id": client.org_id, "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
    headers = client.headers | {"Prefer": "wait=1"}
    return await client.http_client.post(_EXPORTS, json=body | {"export_format": "csv"}, headers=headers)


SENDERS = {
    OccupyingUse.PREVIEWS: send_preview,
    OccupyingUse.VALIDATIONS: send_validation,
    OccupyingUse.LARGE_LISTS: send_large_list,
    OccupyingUse.LARGE_BODIES: send_large_body,
}


@pytest.mark.parametrize("use", SENDERS)
async def test_use_beyond_the_limit_of_a_user_is_refused(
    services: Services, export_client: ExportClient, tenant: Tenant, use: OccupyingUse
) -> None:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    async with AsyncExitStack() as occupied:
        for _ in range(_PER_USER):
            occupied.enter_context(services.concurrency.occupy(use, caller))
        assert_refused(await SENDERS[use](export_client))
    if use is not OccupyingUse.PREVIEWS:  # no worker is running
        assert (await SENDERS[use](export_client)).status_code != 429


@pytest.mark.parametrize("use", SENDERS)
async def test_use_beyond_the_limit_of_an_organisation_is_refused(
    services: Services, export_client: ExportClient, tenant: Tenant, use: OccupyingUse
) -> None:
    async with AsyncExitStack() as occupied:
        for number in range(_PER_ORGANISATION):
            caller = Caller(user_id=UUID(int=number), org_id=tenant.org_id, role=Role.COORDINATOR)
            occupied.enter_context(services.concurrency.occupy(use, caller))
        assert_refused(await SENDERS[use](export_client))


async def test_wait_beyond_the_limit_starts_the_export_and_does_not_wait(
    services: Services, export_client: ExportClient, tenant: Tenant
) -> None:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    async with AsyncExitStack() as occupied:
        for _ in range(_PER_USER):
            occupied.enter_context(services.concurrency.occupy(OccupyingUse.WAITS, caller))
        beyond = await send_wait(export_client)
    within = await send_wait(export_client)
    assert [response.status_code for response in (beyond, within)] == [202, 202]
    assert ["Preference-Applied" in response.headers for response in (beyond, within)] == [False, True]


async def test_looping_previews_leave_room_for_another_organisation(
    services: Services, export_client: ExportClient, bearer: Bearer, owner_url: str
) -> None:
    """No worker is running, so that each accepted preview waits."""
    stranger = create_tenant(owner_url)
    headers = bearer(stranger.coordinator, stranger.org_id)
    other_client = ExportClient(export_client.http_client, stranger.org_id, headers)
    previews = [asyncio.create_task(send_preview(export_client)) for _ in range(64)]

    async def count_refused() -> int:
        return sum(preview.done() for preview in previews)

    await wait_until(count_refused, lambda count: count == 64 - _PER_USER)
    assert {preview.result().status_code for preview in previews if preview.done()} == {429}
    other = asyncio.create_task(send_preview(other_client))

    async def count_of_other() -> int:
        return services.concurrency.count(OccupyingUse.PREVIEWS, stranger.org_id)

    await wait_until(count_of_other, lambda count: count == 1)
    for task in [*previews, other]:
        task.cancel()
    await asyncio.gather(*previews, other, return_exceptions=True)
    assert services.concurrency.count(OccupyingUse.PREVIEWS, export_client.org_id) == 0


async def test_event_streams_beyond_the_limit_are_refused_until_one_is_closed(
    settings: Settings, tenant: Tenant, bearer: Bearer
) -> None:
    app = create_app(settings)
    async with (
        serve_app(app) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
        AsyncExitStack() as streams,
    ):
        export_client = ExportClient(client, tenant.org_id, bearer(tenant.coordinator))
        path = f"{_EXPORTS}/{await export_client.start_export()}/events"  # no worker is running

        async def open_stream() -> httpx.Response:
            return await streams.enter_async_context(client.stream("GET", path, headers=export_client.headers))

        first, second = await open_stream(), await open_stream()
        assert {first.status_code, second.status_code} == {200}
        assert_refused(await client.get(path, headers=export_client.headers))
        await first.aclose()

        async def count_streams() -> int:
            services: Services = app.state.services
            return services.concurrency.count(OccupyingUse.EVENT_STREAMS, tenant.coordinator)

        await wait_until(count_streams, lambda count: count == 1)
        assert (await open_stream()).status_code == 200


async def test_refused_requests_are_logged_as_counts(
    services: Services, export_client: ExportClient, tenant: Tenant
) -> None:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    with (
        capture_logs() as logs,
        services.concurrency.occupy(OccupyingUse.LARGE_LISTS, caller),
        services.concurrency.occupy(OccupyingUse.LARGE_LISTS, caller),
    ):
        for _ in range(20):
            assert_refused(await send_large_list(export_client))
    assert [entry["event"] for entry in logs if entry["event"].startswith("request")] == ["requests_refused"]
