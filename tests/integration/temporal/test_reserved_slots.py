"""Endings, cancels, reconciliation and previews run while work occupies every slot of the first task queue."""

import asyncio
from functools import partial
from uuid import uuid4

import httpx
import psycopg
import pytest
from temporalio.client import Client

from stafett.domain.export_job import SweepReport
from stafett.settings import Settings, WorkerSettings
from stafett.temporal.client import SWEEP_JOBS
from stafett.testing import ActivityFactory, ExportClient, create_tenant, wait_until
from tests.support.exports import fetch_pending_activities
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexport_faults import lock_table


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a worker with one slot for each kind of activity."""
    slots = WorkerSettings(threads=1, cpu_threads=1, query_threads=1, outcome_threads=1, preview_threads=1)
    return settings.model_copy(update={"worker": slots})


async def fetch_started_activities(temporal: Client, export_id: str) -> set[str]:
    """Return the export's activities that a worker is running."""
    pending = await fetch_pending_activities(temporal, export_id)
    return {each.activity_type.name for each in pending if each.HasField("last_started_time")}


async def count_waiting_statements(owner_url: str, table: str) -> int:
    query = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
    with psycopg.connect(owner_url) as owner:
        ((count,),) = owner.execute(query, [table]).fetchall()
    return int(count)


async def test_cancel_and_reconciliation_do_not_wait_behind_work(
    export_client: ExportClient, temporal: Client, settings: Settings, run_worker: RunWorker, owner_url: str
) -> None:
    async with run_worker():
        with lock_table(owner_url, "activities"):
            blocking = await export_client.start_export()
            await wait_until(partial(fetch_started_activities, temporal, blocking), {"query_activities"}.__eq__)
            waiting = await export_client.start_export()
            await export_client.http_client.put(
                f"/api/v1/bufdir-exports/{waiting}/cancel", headers=export_client.headers
            )
            assert (await export_client.wait_for_completion(waiting))["status"] == "cancelled"
            queue = settings.temporal.task_queue
            sweep = await temporal.start_workflow(
                SWEEP_JOBS, id=f"sweep-{uuid4()}", task_queue=queue, result_type=SweepReport
            )
            assert (await sweep.result()).errors == 0
            assert (await export_client.get_export(blocking))["status"] == "querying_activities"
        assert (await export_client.wait_for_completion(blocking))["status"] == "completed_empty"


async def test_previews_do_not_delay_the_export_of_another_organisation(
    export_client: ExportClient,
    api_client: httpx.AsyncClient,
    activity_factory: ActivityFactory,
    owner_url: str,
    bearer: Bearer,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    other_tenant = create_tenant(owner_url)
    other_client = ExportClient(api_client, other_tenant.org_id, bearer(other_tenant.coordinator, other_tenant.org_id))
    body = {"org_id": export_client.org_id, "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
    request_preview = partial(
        api_client.post,
        "/api/v1/bufdir-exports/preview",
        json=body | {"export_format": "csv"},
        headers=export_client.headers,
    )
    async with run_worker():
        with lock_table(owner_url, "preview_results"):
            previews = [asyncio.create_task(request_preview()) for _ in range(3)]
            await wait_until(partial(count_waiting_statements, owner_url, "preview_results"), bool)
            export = await other_client.wait_for_completion(await other_client.start_export())
            assert export["status"] == "completed_empty"
            assert not any(preview.done() for preview in previews)
        assert {response.status_code for response in await asyncio.gather(*previews)} == {200}
