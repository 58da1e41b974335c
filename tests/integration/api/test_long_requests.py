"""The second process of the API: it serves long requests, and the first one needs it for nothing."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from api import long_requests
from api.app import create_app
from api.long_requests import LongRequestProcess
from stafett.domain.membership import Role
from stafett.monitoring.metrics import Metrics
from stafett.settings import Settings, require_setting
from stafett.testing import ExportClient, Tenant, wait_until
from tests.support.bulk import BATCHES, build_batch, build_item
from tests.support.fixture_types import Bearer
from tests.support.http_server import serve_app

_EXPORTS = "/api/v1/bufdir-exports"
_LARGE_LIST = f"{_EXPORTS}?page_size=200"


@pytest.fixture(autouse=True)
def _environment_of_second_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = settings.s3
    for name, value in {
        "DATABASE__API_URL": require_setting(settings.database.api_url, "api"),
        "TEMPORAL__ADDRESS": settings.temporal.address,
        "TEMPORAL__TASK_QUEUE": settings.temporal.task_queue,
        "S3__ENDPOINT": str(s3.endpoint),
        "S3__ACCESS_KEY": s3.access_key,
        "S3__SECRET_KEY": s3.secret_key.get_secret_value(),
        "AUTH__JWKS_FILE": str(settings.auth.jwks_file),
        "AUTH__SUBJECT_IS_USER_ID": str(settings.auth.subject_is_user_id),
    }.items():
        monkeypatch.setenv(f"STAFETT_{name}", value)


@pytest.fixture
def process() -> LongRequestProcess:
    return LongRequestProcess(2)


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(settings: Settings, process: LongRequestProcess) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, long_requests=process)
    async with serve_app(app) as url, httpx.AsyncClient(base_url=url, timeout=120) as client:
        await wait_until_ready(process)
        yield client


async def wait_until_ready(process: LongRequestProcess, *, ended_pid: int = 0) -> None:
    async def is_ready() -> bool:
        return process.is_ready and process.pid != ended_pid

    await wait_until(is_ready, bool)


def create_large_batch(org_id: str, **fields: Any) -> dict[str, Any]:
    return build_batch(org_id, [build_item(uuid4()) for _ in range(2000)], **fields)


async def send(client: ExportClient, method: str, path: str, **options: Any) -> httpx.Response:
    return await client.http_client.request(method, path, headers=client.headers, **options)


async def test_both_processes_give_the_same_responses(export_client: ExportClient, process: LongRequestProcess) -> None:
    await export_client.start_export()
    batch = create_large_batch(export_client.org_id, validate_only=True)
    invalid = create_large_batch(export_client.org_id, unknown=1)
    responses = []
    for is_ready in (True, False):
        process.is_ready = is_ready
        responses.append(
            [
                await send(export_client, "GET", _LARGE_LIST),
                await send(export_client, "GET", f"{BATCHES}/{uuid4()}/failed.csv"),
                await send(export_client, "POST", BATCHES, json=batch),
                await send(export_client, "POST", BATCHES, json=invalid),
                await send(export_client, "POST", BATCHES, content=b"x" * 100_000),
            ]
        )
    assert [response.status_code for response in responses[0]] == [200, 404, 200, 422, 415]
    for forwarded, own in zip(*responses, strict=True):
        assert forwarded.status_code == own.status_code
        assert sorted(forwarded.headers.keys()) == sorted(own.headers.keys())
        assert forwarded.headers["content-type"] == own.headers["content-type"]
    assert responses[0][0].json() == responses[1][0].json()
    assert responses[0][2].json() == responses[1][2].json()


async def test_large_batch_is_accepted_once_by_the_second_process(export_client: ExportClient) -> None:
    batch, headers = create_large_batch(export_client.org_id), export_client.headers | {"Idempotency-Key": "press"}
    with capture_logs() as logs:
        first, second = [
            await export_client.http_client.post(BATCHES, json=batch, headers=headers | {"X-Request-ID": "of-client"})
            for _ in range(2)
        ]
    assert [entry for entry in logs if entry["event"] == "request"] == [], "the second process logs it"
    assert first.status_code == second.status_code == 202
    assert first.headers["Location"] == f"{BATCHES}/{first.json()['id']}"
    assert first.headers["X-Request-ID"] == "of-client"
    assert second.json()["id"] == first.json()["id"]


async def test_first_process_serves_other_requests_while_the_second_is_frozen(
    export_client: ExportClient, process: LongRequestProcess, tenant: Tenant, bearer: Bearer
) -> None:
    export_id = await export_client.start_export()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        process.is_ready = True
        long_request = asyncio.create_task(send(export_client, "GET", _LARGE_LIST))
        assert (await send(export_client, "GET", f"{_EXPORTS}/{export_id}")).status_code == 200
        assert (await export_client.http_client.get(_LARGE_LIST)).status_code == 401
        auditor = bearer(tenant.users[Role.AUDITOR], role="auditor")
        body = json.dumps(create_large_batch(export_client.org_id)).encode()
        assert (await export_client.http_client.post(BATCHES, content=body, headers=auditor)).status_code == 403
        assert not long_request.done()
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert [export["id"] for export in (await long_request).json()["items"]] == [export_id]


async def test_request_of_a_killed_process_is_retryable_and_the_process_started_again(
    export_client: ExportClient, process: LongRequestProcess
) -> None:
    pid, batch = process.pid, create_large_batch(export_client.org_id)
    headers = export_client.headers | {"Idempotency-Key": "press", "Prefer": "wait=60"}

    async def list_batches() -> list[str]:
        return [each["id"] for each in (await send(export_client, "GET", BATCHES)).json()["items"]]

    with capture_logs() as logs:
        waiting = asyncio.create_task(export_client.http_client.post(BATCHES, json=batch, headers=headers))
        batch_ids = await wait_until(list_batches, bool)
        os.kill(pid, signal.SIGKILL)
        response = await waiting
        await wait_until_ready(process, ended_pid=pid)
    assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
    assert [entry["exit_code"] for entry in logs if entry["event"] == "long_request_process_ended"] == [-9]
    repeated = await export_client.http_client.post(BATCHES, json=batch, headers=headers | {"Prefer": "wait=0"})
    assert [repeated.json()["id"]] == batch_ids


async def test_process_that_does_not_answer_is_replaced(
    export_client: ExportClient, process: LongRequestProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_requests, "_MAX_SILENT_SECONDS", 5)
    monkeypatch.setattr(long_requests, "_STOP_SECONDS", 0.1)
    pid = process.pid
    os.kill(pid, signal.SIGSTOP)
    await wait_until_ready(process, ended_pid=pid)
    assert (await send(export_client, "GET", _LARGE_LIST)).status_code == 200


async def test_process_ends_with_the_first_one(settings: Settings) -> None:
    process = LongRequestProcess(2)
    async with serve_app(create_app(settings, long_requests=process)):
        await wait_until_ready(process)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_forwarded_request_is_counted_once_while_first_process_has_metrics_port(
    settings: Settings, process: LongRequestProcess, tenant: Tenant, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    with socket.create_server(("127.0.0.1", 0)) as first_process:
        monkeypatch.setenv("STAFETT_METRICS__PORT", str(first_process.getsockname()[1]))
        app = create_app(settings, long_requests=process, metrics=metrics)
        async with serve_app(app) as url, httpx.AsyncClient(base_url=url, timeout=120) as http_client:
            await wait_until_ready(process)
            response = await send(
                ExportClient(http_client, tenant.org_id, bearer(tenant.coordinator)), "GET", _LARGE_LIST
            )
    labels = {"method": "GET", "route": _EXPORTS, "status": "200"}
    count = metrics.registry.get_sample_value("stafett_http_request_duration_seconds_count", labels)
    assert (response.status_code, count) == (200, 1)
