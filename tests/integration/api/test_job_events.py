"""Server-sent events of a job: each transition once and in order, even after connection failures."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import psycopg
import pytest
import uvicorn

from api.app import create_app
from stafett.devstack.issuer import DevIssuer
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_operator, create_tenant, wait_until
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.job_events import Event, parse_events

EXPORTS = "/api/v1/bufdir-exports"
ALL_STATUSES = [
    "initialised",
    "querying_activities",
    "mapping_columns",
    "generating_file",
    "storing_file",
    "recording_audit",
    "completed",
]


def list_statuses(events: list[Event]) -> list[str]:
    return [event.data["status"] for event in events if event.name == "status"]


async def get_events(export_client: ExportClient, export_id: str, **headers: str) -> httpx.Response:
    return await export_client.http_client.get(f"{EXPORTS}/{export_id}/events", headers=export_client.headers | headers)


@asynccontextmanager
async def serve_api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the API on a socket, because an ASGI transport does not stream responses."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    serving = asyncio.create_task(server.serve())

    async def is_up() -> bool:
        return server.started

    await wait_until(is_up, bool)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    await serving


async def test_stream_has_every_transition_in_order_and_then_ends(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        response = await get_events(export_client, export_id)
    events = parse_events(response.text)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert list_statuses(events) == ALL_STATUSES
    ids = [int(event.id) for event in events if event.id]
    assert ids == sorted(set(ids))
    assert len(ids) == len(ALL_STATUSES)
    assert all(event.data["id"] == export_id for event in events)


async def test_reconnecting_client_receives_only_later_events(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    all_events = [event for event in parse_events((await get_events(export_client, export_id)).text) if event.id]
    for position, event in enumerate(all_events[:-1], 1):
        later_events = parse_events(
            (await get_events(export_client, export_id, **{"Last-Event-ID": str(event.id)})).text
        )
        assert list_statuses(later_events) == ALL_STATUSES[position:]


@pytest.mark.parametrize("last_event_id", ["", "abc", "-1", "1; DROP TABLE", "9" * 30, "٣"])
async def test_invalid_last_event_id_restarts_the_stream(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, last_event_id: str
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    response = await export_client.http_client.get(
        f"{EXPORTS}/{export_id}/events",
        headers=[*_encode_headers(export_client.headers), (b"Last-Event-ID", last_event_id.encode())],
    )
    assert list_statuses(parse_events(response.text)) == ALL_STATUSES


async def test_reconnecting_after_the_final_event_is_answered_204(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    last = [event.id for event in parse_events((await get_events(export_client, export_id)).text) if event.id][-1]
    assert (await get_events(export_client, export_id, **{"Last-Event-ID": str(last)})).status_code == 204


async def test_events_of_another_organisation_are_not_found(
    export_client: ExportClient, bearer: Bearer, owner_url: str
) -> None:
    export_id = await export_client.start_export()
    stranger = create_tenant(owner_url)
    response = await export_client.http_client.get(
        f"{EXPORTS}/{export_id}/events", headers=bearer(stranger.coordinator, stranger.org_id)
    )
    assert response.status_code == 404
    assert (await get_events(export_client, str(uuid4()))).status_code == 404


async def test_operator_and_auditor_may_read_events(
    export_client: ExportClient,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    for headers in (
        bearer(create_operator(owner_url), None, "operator"),
        bearer(tenant.users[Role.AUDITOR], role="auditor"),
    ):
        response = await export_client.http_client.get(f"{EXPORTS}/{export_id}/events", headers=headers)
        assert list_statuses(parse_events(response.text)) == ALL_STATUSES


async def test_stream_ends_when_the_token_expires(
    tenant: Tenant, issuer: DevIssuer, export_client: ExportClient
) -> None:
    export_id = await export_client.start_export()  # no worker is running
    token = issuer.create_token(
        tenant.coordinator, tenant.org_id, "coordinator", exp=datetime.now(UTC) + timedelta(seconds=2)
    )
    response = await export_client.http_client.get(
        f"{EXPORTS}/{export_id}/events", headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    assert list_statuses(parse_events(response.text)) == ["initialised"]


async def test_events_arrive_as_transitions_happen(
    settings: Settings, tenant: Tenant, bearer: Bearer, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with serve_api(settings) as api_client:
        export_client = ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator))
        export_id = await export_client.start_export()
        async with api_client.stream("GET", f"{EXPORTS}/{export_id}/events", headers=export_client.headers) as stream:
            lines = stream.aiter_lines()
            assert await _read_next_status(lines) == "initialised"
            async with run_worker():
                assert [await _read_next_status(lines) for _ in ALL_STATUSES[1:]] == ALL_STATUSES[1:]


async def test_lost_postgresql_connection_loses_no_event(
    settings: Settings,
    tenant: Tenant,
    bearer: Bearer,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with serve_api(settings) as api_client:
        export_client = ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator))
        export_id = await export_client.start_export()
        async with api_client.stream("GET", f"{EXPORTS}/{export_id}/events", headers=export_client.headers) as stream:
            lines = stream.aiter_lines()
            assert await _read_next_status(lines) == "initialised"
            with psycopg.connect(owner_url) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN job_changed'"
                )
            async with run_worker():
                assert [await _read_next_status(lines) for _ in ALL_STATUSES[1:]] == ALL_STATUSES[1:]


async def test_prefer_wait_returns_the_completed_export(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        response = await start_with_preference(export_client, "wait=60")
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=60"
    assert response.json()["status"] == "completed"
    assert response.json()["download_url"]
    assert response.headers["cache-control"] == "no-store"
    assert "retry-after" not in response.headers


@pytest.mark.parametrize(
    ("preference", "applied"),
    [
        ("wait=0", "wait=0"),
        ("respond-async, wait=1", "wait=1"),
        ('Wait="1"; x=y', "wait=1"),
        ("wait=1, wait=50", "wait=1"),
    ],
)
async def test_prefer_wait_ends_after_the_preferred_time(
    export_client: ExportClient, preference: str, applied: str
) -> None:
    response = await start_with_preference(export_client, preference)
    assert response.status_code == 202
    assert response.headers["preference-applied"] == applied
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("preference", ["wait=-1", "wait=soon", "wait", "await=3", "return=minimal"])
async def test_unknown_preference_is_ignored(export_client: ExportClient, preference: str) -> None:
    response = await start_with_preference(export_client, preference)
    assert response.status_code == 202
    assert "preference-applied" not in response.headers


async def start_with_preference(export_client: ExportClient, preference: str) -> httpx.Response:
    body = {
        "org_id": export_client.org_id,
        "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
        "export_format": "csv",
    }
    return await export_client.http_client.post(
        EXPORTS, json=body, headers=export_client.headers | {"Prefer": preference}, timeout=90
    )


async def _read_next_status(lines: AsyncIterator[str]) -> str:
    async for line in lines:
        if line.startswith("data: ") and "status" in (data := json.loads(line.removeprefix("data: "))):
            return str(data["status"])
    raise AssertionError("the stream ended")


def _encode_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
