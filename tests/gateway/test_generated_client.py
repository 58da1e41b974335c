"""A client that was generated from the description, and knows nothing else, has an export made."""

import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
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
from tests.gateway.document import document
from tests.gateway.serving import served

Working = Callable[[], AbstractAsyncContextManager[None]]
_CONFIG = {"post_hooks": [], "content_type_overrides": {"text/csv": "application/octet-stream"}}
_NAME = "generated_stafett_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """The client's modules, by name; a warning of the generator is an error."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(document()))
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    generate = (sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none")
    where = ("--path", "openapi.json", "--config", "config.json", "--output-path", _NAME)
    done = subprocess.run((*generate, *where), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"{_NAME}.{name}")
    sys.path.remove(str(folder))


@pytest_asyncio.fixture(loop_scope="session")
async def url(settings: Settings) -> AsyncIterator[str]:
    async with served(create_app(settings)) as url:
        yield url


async def test_it_has_an_export_made_and_fetches_the_file(
    generated: Callable[[str], ModuleType],
    url: str,
    working: Working,
    issuer: DevIssuer,
    tenant: Tenant,
    diary: ActivityFactory,
) -> None:
    diary.create_activity(diary.create_mentor())
    models: Any = generated("models")
    token = issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    client: Any = generated("client").AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = models.ExportCreate.from_dict({"org_id": tenant.org_id, "reporting_period": period, "export_format": "csv"})

    def exports(name: str) -> Any:
        return generated(f"api.bufdir_exports.{name}")

    async def pressed() -> Any:
        return await exports("start_export").asyncio_detailed(client=client, body=body, idempotency_key="once")

    async def seen() -> Any:
        return await exports("get_export").asyncio(client=client, export_id=first.parsed.id)

    async with client, working():
        first, second = await pressed(), await pressed()
        assert (first.status_code, second.parsed.id) == (HTTPStatus.ACCEPTED, first.parsed.id)
        job = await wait_until(seen, lambda job: job.status == models.ExportStatus.COMPLETED)
        listed = await exports("list_exports").asyncio(client=client, status=models.ExportStatus.COMPLETED)
        answer = await exports("download_export").asyncio_detailed(client=client, export_id=job.id)
    assert [one.id for one in listed.items] == [job.id]
    assert answer.status_code == HTTPStatus.SEE_OTHER
    async with httpx.AsyncClient() as anybody:
        file = await anybody.get(answer.headers["Location"])
    assert len(file.content) == job.file.size_bytes


async def test_it_understands_a_refusal(
    generated: Callable[[str], ModuleType], url: str, issuer: DevIssuer, tenant: Tenant
) -> None:
    token = issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    client: Any = generated("client").AuthenticatedClient(base_url=url, token=token)
    async with client:
        refused = await generated("api.webhooks.list_webhooks").asyncio(client=client)
    assert isinstance(refused, generated("models").Problem)
    assert (refused.code, refused.retryable, refused.status) == ("permission_denied", False, 403)
