"""Event streams end as soon as their client loses access, not only at the next heartbeat."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

import api.job_events
from api.app import create_app
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.testing import ExportClient, Tenant
from tests.support.fixture_types import Bearer
from tests.support.http_server import serve_app
from tests.support.user_client import UserClient


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client over a socket, because an ASGI transport does not stream responses."""
    app = create_app(settings)
    async with serve_app(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        yield client


async def stream_until_end(client: UserClient, export_id: str, admin: UserClient, path: str) -> list[str]:
    """Read the events of an export, delete ``path`` after the first one, and return all lines."""
    lines = list[str]()
    url = f"/api/v1/bufdir-exports/{export_id}/events"
    async with client.http_client.stream("GET", url, headers=client.headers) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            lines.append(line)
            if line.startswith("event: status"):
                await admin.request("DELETE", path, 204)
    return lines


@pytest.mark.parametrize("credential", ["token of a removed member", "revoked API key"])
async def test_stream_ends_when_its_client_loses_access(
    credential: str,
    export_client: ExportClient,
    admin: UserClient,
    tenant: Tenant,
    bearer: Bearer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api.job_events, "HEARTBEAT_SECONDS", 3600.0)
    export_id = await export_client.start_export()
    organisation = f"/organisations/{tenant.org_id}"
    if credential == "revoked API key":
        key = await admin.request("POST", f"{organisation}/api-keys", 201, json={"name": "x", "role": "auditor"})
        client = UserClient(admin.http_client, {"Authorization": f"Bearer {key['secret']}"})
        path = f"{organisation}/api-keys/{UUID(key['id'])}"
    else:
        client = UserClient(admin.http_client, bearer(tenant.users[Role.AUDITOR]))
        path = f"{organisation}/members/{tenant.users[Role.AUDITOR]}"
    lines = await stream_until_end(client, export_id, admin, path)
    assert sum(line.startswith("event: status") for line in lines) == 1
