"""Fairness between organisations and between task queues when one core has many exports to render, as in September."""

import asyncio
from functools import partial

import httpx
import pytest
from temporalio.client import Client

import worker
from stafett.settings import Settings, WorkerSettings
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant, wait_until
from tests.support.exports import fetch_pending_activities
from tests.support.fixture_types import Bearer

EXPORT_COUNT = 8


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a worker with one CPU thread."""
    return settings.model_copy(update={"worker": WorkerSettings(threads=4, cpu_threads=1)})


@pytest.fixture
def other_client(api_client: httpx.AsyncClient, owner_url: str, bearer: Bearer) -> ExportClient:
    """The export client of another organisation's coordinator."""
    tenant = create_tenant(owner_url)
    return ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id))


async def fetch_pending_types(temporal: Client, export_id: str) -> set[str]:
    return {each.activity_type.name for each in await fetch_pending_activities(temporal, export_id)}


async def test_single_export_is_not_last_behind_another_organisations_exports(
    export_client: ExportClient,
    other_client: ExportClient,
    activity_factory: ActivityFactory,
    owner_url: str,
    temporal: Client,
    settings: Settings,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    other_factory = ActivityFactory(owner_url, other_client.org_id)
    other_factory.create_activity(other_factory.create_mentor())
    async with worker.run_queue_workers(temporal, settings, role="io"):
        many = [await export_client.start_export() for _ in range(EXPORT_COUNT)]
        for export_id in many:
            await wait_until(partial(fetch_pending_types, temporal, export_id), {"map_columns"}.__eq__)
        single = await other_client.start_export()
        await wait_until(partial(fetch_pending_types, temporal, single), {"map_columns"}.__eq__)
        assert (await other_client.get_export(single))["status"] == "querying_activities"

        async with worker.run_queue_workers(temporal, settings, role="cpu"):
            single_job = await other_client.wait_for_completion(single)
            many_jobs = await asyncio.gather(*map(export_client.wait_for_completion, many))
    assert {job["status"] for job in (single_job, *many_jobs)} == {"completed"}
    later = [job for job in many_jobs if job["completed_at"] > single_job["completed_at"]]
    assert len(later) >= EXPORT_COUNT // 2


async def test_empty_exports_and_previews_complete_while_no_cpu_worker_runs(
    export_client: ExportClient,
    other_client: ExportClient,
    activity_factory: ActivityFactory,
    temporal: Client,
    settings: Settings,
    tenant: Tenant,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with worker.run_queue_workers(temporal, settings, role="io"):
        waiting = await export_client.start_export()
        await wait_until(partial(fetch_pending_types, temporal, waiting), {"map_columns"}.__eq__)
        empty = await other_client.wait_for_completion(await other_client.start_export())
        assert empty["status"] == "completed_empty"
        failed = await other_client.wait_for_completion(await other_client.start_export(fail_on_empty=True))
        assert failed["status"] == "failed"
        body = {"org_id": tenant.org_id, "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
        response = await export_client.http_client.post(
            "/api/v1/bufdir-exports/preview", json=body | {"export_format": "csv"}, headers=export_client.headers
        )
        assert response.status_code == 200, response.text
        assert await fetch_pending_types(temporal, waiting) == {"map_columns"}
