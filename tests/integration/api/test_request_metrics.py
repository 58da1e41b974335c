"""What the API counts: requests by the template of their route, and open event streams."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from api.app import create_app
from stafett.monitoring.metrics import Metrics
from stafett.settings import Settings
from stafett.testing import ExportClient, Tenant, wait_until
from tests.support.fixture_types import Bearer
from tests.support.http_server import serve_app

EXPORTS = "/api/v1/bufdir-exports"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest_asyncio.fixture(loop_scope="session")
async def http_client(settings: Settings, metrics: Metrics) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application with a socket, because events are streamed."""
    async with serve_app(create_app(settings, metrics=metrics)) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


@pytest.fixture
def export_client(http_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> ExportClient:
    return ExportClient(http_client, tenant.org_id, bearer(tenant.coordinator))


def count_requests(metrics: Metrics, method: str, route: str, status: str) -> float | None:
    labels = {"method": method, "route": route, "status": status}
    return metrics.registry.get_sample_value("stafett_http_request_duration_seconds_count", labels)


async def test_requests_are_counted_by_the_template_of_their_route(
    metrics: Metrics, export_client: ExportClient
) -> None:
    for _ in range(2):
        await export_client.get_export(await export_client.start_export())
    await export_client.http_client.request("BREW", "/no/such/path")
    assert count_requests(metrics, "POST", EXPORTS, "202") == 2
    assert count_requests(metrics, "GET", f"{EXPORTS}/{{export_id}}", "200") == 2
    assert count_requests(metrics, "OTHER", "unmatched", "404") == 1


async def test_event_stream_is_counted_while_it_is_open(metrics: Metrics, export_client: ExportClient) -> None:
    """No worker runs, so that the export stays open."""
    url = f"{EXPORTS}/{await export_client.start_export()}/events"

    async def count_streams() -> float | None:
        return metrics.registry.get_sample_value("stafett_event_streams")

    async with export_client.http_client.stream("GET", url, headers=export_client.headers) as stream:
        await anext(stream.aiter_lines())
        assert await count_streams() == 1
    await wait_until(count_streams, lambda count: count == 0)
    assert count_requests(metrics, "GET", f"{EXPORTS}/{{export_id}}/events", "200") == 1


async def test_waits_for_connections_are_counted(metrics: Metrics, export_client: ExportClient) -> None:
    await export_client.start_export()
    labels = {"pool": "api"}
    waits = metrics.registry.get_sample_value("stafett_database_connection_wait_seconds_count", labels)
    assert waits is not None
    assert waits > 0
