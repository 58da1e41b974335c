"""In the September rush: one core, many exports, and nobody waits for all of somebody else's."""

import asyncio
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from temporalio.client import Client

import worker
from stafett.settings import Settings, WorkerSettings
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant, wait_until

Bearer = Callable[..., dict[str, str]]
FLOOD = 8


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One core."""
    return settings.model_copy(update={"worker": WorkerSettings(threads=4, cpu_threads=1)})


@pytest.fixture
def other(gateway: httpx.AsyncClient, owner_url: str, bearer: Bearer) -> ExportClient:
    """In the hand of another organisation's coordinator."""
    tenant = create_tenant(owner_url)
    return ExportClient(gateway, tenant.org_id, bearer(tenant.coordinator, tenant.org_id))


async def waits_for(temporal: Client, export_id: str) -> set[str]:
    described = await temporal.get_workflow_handle(f"bufdir-export/{export_id}").describe()
    return {pending.activity_type.name for pending in described.raw_description.pending_activities}


async def test_an_organisations_export_is_done_before_the_last_of_anothers_flood(
    button: ExportClient,
    other: ExportClient,
    diary: ActivityFactory,
    owner_url: str,
    temporal: Client,
    settings: Settings,
) -> None:
    diary.create_activity(diary.create_mentor())
    guest = ActivityFactory(owner_url, other.org_id)
    guest.create_activity(guest.create_mentor())
    async with worker.run_queue_workers(temporal, settings, role="io"):
        flood = [await button.start_export() for _ in range(FLOOD)]
        for export_id in flood:
            await wait_until(partial(waits_for, temporal, export_id), {"map_columns"}.__eq__)
        single = await other.start_export()
        await wait_until(partial(waits_for, temporal, single), {"map_columns"}.__eq__)
        assert (await other.get_export(single))["status"] == "querying_activities"

        async with worker.run_queue_workers(temporal, settings, role="cpu"):
            theirs = await other.wait_for_completion(single)
            ours = await asyncio.gather(*map(button.wait_for_completion, flood))
    assert {job["status"] for job in (theirs, *ours)} == {"completed"}
    later = [job for job in ours if job["completed_at"] > theirs["completed_at"]]
    assert len(later) >= FLOOD // 2


async def test_while_every_core_is_taken_an_export_that_needs_none_ends(
    button: ExportClient,
    other: ExportClient,
    diary: ActivityFactory,
    temporal: Client,
    settings: Settings,
    tenant: Tenant,
) -> None:
    diary.create_activity(diary.create_mentor())
    async with worker.run_queue_workers(temporal, settings, role="io"):
        renders = await button.start_export()
        await wait_until(partial(waits_for, temporal, renders), {"map_columns"}.__eq__)
        assert (await other.wait_for_completion(await other.start_export()))["status"] == "completed_empty"
        assert (await other.wait_for_completion(await other.start_export(fail_on_empty=True)))["status"] == "failed"
        body = {"org_id": tenant.org_id, "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
        answer = await button.http_client.post(
            "/api/v1/bufdir-exports/preview", json=body | {"export_format": "csv"}, headers=button.headers
        )
        assert answer.status_code == 200, answer.text
        assert await waits_for(temporal, renders) == {"map_columns"}
