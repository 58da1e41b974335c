"""A client generated from the OpenAPI document creates an export."""

import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from types import ModuleType
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.app import create_app
from stafett.devstack.issuer import DevIssuer
from stafett.settings import Settings
from stafett.testing import ActivityFactory, Tenant, wait_until
from tests.support.fixture_types import RunWorker
from tests.support.http_server import serve_app
from tests.support.openapi_document import load_document

_CONFIG = {"post_hooks": [], "content_type_overrides": {"text/csv": "application/octet-stream"}}
_NAME = "generated_stafett_client"


@pytest.fixture(scope="module")
def import_client_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """Generate the client and import its modules by name; a warning of the generator fails the test."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(load_document()))
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    generate = (sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none")
    options = ("--path", "openapi.json", "--config", "config.json", "--output-path", _NAME)
    process = subprocess.run((*generate, *options), cwd=folder, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"{_NAME}.{name}")
    sys.path.remove(str(folder))


@pytest_asyncio.fixture(loop_scope="session")
async def url(settings: Settings) -> AsyncIterator[str]:
    async with serve_app(create_app(settings)) as url:
        yield url


async def test_generated_client_creates_an_export_and_downloads_the_file(
    import_client_module: Callable[[str], ModuleType],
    url: str,
    run_worker: RunWorker,
    issuer: DevIssuer,
    tenant: Tenant,
    activity_factory: ActivityFactory,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    models: Any = import_client_module("models")
    token = issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    client: Any = import_client_module("client").AuthenticatedClient(
        base_url=url, token=token, raise_on_unexpected_status=True
    )
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = models.ExportCreate.from_dict({"org_id": tenant.org_id, "reporting_period": period, "export_format": "csv"})

    def get_operation(name: str) -> Any:
        return import_client_module(f"api.bufdir_exports.{name}")

    async def start_export() -> Any:
        return await get_operation("start_export").asyncio_detailed(client=client, body=body, idempotency_key="once")

    async def fetch_job() -> Any:
        return await get_operation("get_export").asyncio(client=client, export_id=first.parsed.id)

    async with client, run_worker():
        first, second = await start_export(), await start_export()
        assert (first.status_code, second.parsed.id) == (HTTPStatus.ACCEPTED, first.parsed.id)
        job = await wait_until(fetch_job, lambda job: job.status == models.ExportStatus.COMPLETED)
        page = await get_operation("list_exports").asyncio(client=client, status=models.ExportStatus.COMPLETED)
        response = await get_operation("download_export").asyncio_detailed(client=client, export_id=job.id)
    assert [item.id for item in page.items] == [job.id]
    assert response.status_code == HTTPStatus.SEE_OTHER
    async with httpx.AsyncClient() as anonymous_client:
        file = await anonymous_client.get(response.headers["Location"])
    assert len(file.content) == job.file.size_bytes


async def test_generated_client_parses_a_problem(
    import_client_module: Callable[[str], ModuleType], url: str, issuer: DevIssuer, tenant: Tenant
) -> None:
    token = issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    client: Any = import_client_module("client").AuthenticatedClient(base_url=url, token=token)
    async with client:
        problem = await import_client_module("api.webhooks.list_webhooks").asyncio(client=client)
    assert isinstance(problem, import_client_module("models").Problem)
    assert (problem.code, problem.retryable, problem.status) == ("permission_denied", False, 403)
