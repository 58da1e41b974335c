"""Watching a job: every step once, in order, whatever happens to the connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
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

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]
EXPORTS = "/api/v1/bufdir-exports"
WHOLE = [
    "initialised",
    "querying_activities",
    "mapping_columns",
    "generating_file",
    "storing_file",
    "recording_audit",
    "completed",
]


class Event(NamedTuple):
    name: str
    data: dict[str, Any]
    id: str | None


def events_of(text: str) -> list[Event]:
    """As a browser reads a stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in fields:
            found.append(Event(fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found


def statuses(events: list[Event]) -> list[str]:
    return [event.data["status"] for event in events if event.name == "status"]


async def watched(button: ExportClient, export_id: str, **headers: str) -> httpx.Response:
    return await button.http_client.get(f"{EXPORTS}/{export_id}/events", headers=button.headers | headers)


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway at a socket, for answers that come bit by bit."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    serving = asyncio.create_task(server.serve())

    async def is_up() -> bool:
        return server.started

    await wait_until(is_up, bool)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    server.should_exit = True
    await serving


async def test_a_watcher_sees_every_step_in_its_order_and_then_the_end_of_the_stream(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        answer = await watched(button, export_id)
    events = events_of(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert statuses(events) == WHOLE
    ids = [int(event.id) for event in events if event.id]
    assert ids == sorted(set(ids))
    assert len(ids) == len(WHOLE)
    assert all(event.data["id"] == export_id for event in events)


async def test_who_comes_back_sees_what_they_missed_and_nothing_twice(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
    whole = [event for event in events_of((await watched(button, export_id)).text) if event.id]
    for place, event in enumerate(whole[:-1], 1):
        rest = events_of((await watched(button, export_id, **{"Last-Event-ID": str(event.id)})).text)
        assert statuses(rest) == WHOLE[place:]


@pytest.mark.parametrize("said", ["", "abc", "-1", "1; DROP TABLE", "9" * 30, "٣"])
async def test_an_id_that_is_none_of_ours_begins_anew(
    button: ExportClient, diary: ActivityFactory, working: Working, said: str
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
    answer = await button.http_client.get(
        f"{EXPORTS}/{export_id}/events", headers=[*_encoded(button.headers), (b"Last-Event-ID", said.encode())]
    )
    assert statuses(events_of(answer.text)) == WHOLE


async def test_who_has_seen_the_end_is_told_not_to_come_back(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
    last = [event.id for event in events_of((await watched(button, export_id)).text) if event.id][-1]
    assert (await watched(button, export_id, **{"Last-Event-ID": str(last)})).status_code == 204


async def test_somebody_elses_job_has_no_events(button: ExportClient, bearer: Bearer, owner_url: str) -> None:
    export_id = await button.start_export()
    stranger = create_tenant(owner_url)
    answer = await button.http_client.get(
        f"{EXPORTS}/{export_id}/events", headers=bearer(stranger.coordinator, stranger.org_id)
    )
    assert answer.status_code == 404
    assert (await watched(button, str(uuid4()))).status_code == 404


async def test_an_operator_and_an_auditor_watch_any_step_they_may_see(
    button: ExportClient, tenant: Tenant, bearer: Bearer, owner_url: str, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
    for headers in (
        bearer(create_operator(owner_url), None, "operator"),
        bearer(tenant.users[Role.AUDITOR], role="auditor"),
    ):
        answer = await button.http_client.get(f"{EXPORTS}/{export_id}/events", headers=headers)
        assert statuses(events_of(answer.text)) == WHOLE


async def test_the_stream_ends_with_the_token(tenant: Tenant, issuer: DevIssuer, button: ExportClient) -> None:
    export_id = await button.start_export()  # and nobody works on it
    token = issuer.create_token(
        tenant.coordinator, tenant.org_id, "coordinator", exp=datetime.now(UTC) + timedelta(seconds=2)
    )
    answer = await button.http_client.get(
        f"{EXPORTS}/{export_id}/events", headers={"Authorization": f"Bearer {token}"}, timeout=30
    )
    assert statuses(events_of(answer.text)) == ["initialised"]


async def test_steps_arrive_as_they_happen(
    settings: Settings, tenant: Tenant, bearer: Bearer, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with served(settings) as gateway:
        button = ExportClient(gateway, tenant.org_id, bearer(tenant.coordinator))
        export_id = await button.start_export()
        async with gateway.stream("GET", f"{EXPORTS}/{export_id}/events", headers=button.headers) as stream:
            lines = stream.aiter_lines()
            assert await _next_status(lines) == "initialised"
            async with working():
                assert [await _next_status(lines) for _ in WHOLE[1:]] == WHOLE[1:]


async def test_a_lost_connection_to_postgresql_loses_no_step(
    settings: Settings, tenant: Tenant, bearer: Bearer, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with served(settings) as gateway:
        button = ExportClient(gateway, tenant.org_id, bearer(tenant.coordinator))
        export_id = await button.start_export()
        async with gateway.stream("GET", f"{EXPORTS}/{export_id}/events", headers=button.headers) as stream:
            lines = stream.aiter_lines()
            assert await _next_status(lines) == "initialised"
            with psycopg.connect(owner_url) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN job_changed'"
                )
            async with working():
                assert [await _next_status(lines) for _ in WHOLE[1:]] == WHOLE[1:]


async def test_a_client_that_prefers_to_wait_is_answered_at_the_end(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        answer = await preferring(button, "wait=60")
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.json()["status"] == "completed"
    assert answer.json()["download_url"]
    assert answer.headers["cache-control"] == "no-store"
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("said", "applied"),
    [
        ("wait=0", "wait=0"),
        ("respond-async, wait=1", "wait=1"),
        ('Wait="1"; x=y', "wait=1"),
        ("wait=1, wait=50", "wait=1"),
    ],
)
async def test_a_client_waits_no_longer_than_it_said(button: ExportClient, said: str, applied: str) -> None:
    answer = await preferring(button, said)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == applied
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("said", ["wait=-1", "wait=soon", "wait", "await=3", "return=minimal"])
async def test_a_preference_we_do_not_know_is_no_mistake(button: ExportClient, said: str) -> None:
    answer = await preferring(button, said)
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


async def preferring(button: ExportClient, said: str) -> httpx.Response:
    body = {
        "org_id": button.org_id,
        "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
        "export_format": "csv",
    }
    return await button.http_client.post(EXPORTS, json=body, headers=button.headers | {"Prefer": said}, timeout=90)


async def _next_status(lines: AsyncIterator[str]) -> str:
    async for line in lines:
        if line.startswith("data: ") and "status" in (said := json.loads(line.removeprefix("data: "))):
            return str(said["status"])
    raise AssertionError("the stream ended")


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
