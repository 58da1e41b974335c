"""Batches during outages of PostgreSQL: each waits, then continues, and each item is registered once."""

from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

import psycopg
import pytest
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client
from temporalio.testing import TimeSkipper

import worker
from stafett.database.session import Database
from stafett.domain import bulk
from stafett.domain.bulk_job import Chunk
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import ServiceUnavailableError
from stafett.settings import Settings
from stafett.temporal.client import start_job
from stafett.testing import Tenant, wait_until
from tests.support.bulk import BulkHarness, build_counts, create_mentors, fetch_registered_mentors, fetch_rows
from tests.support.postgres_proxy import run_postgres_proxy
from tests.support.reexport_faults import lock_table


@pytest.fixture
def harness(tenant: Tenant, api_database: Database, worker_database: Database) -> BulkHarness:
    return BulkHarness(tenant, api_database, worker_database)


async def test_batch_waits_for_postgresql_and_then_registers_every_item(
    harness: BulkHarness, temporal: Client, settings: Settings, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL becomes unavailable while chunks are being registered; the attempts are not limited."""
    monkeypatch.setattr(bulk, "ITEMS_PER_CHUNK", 10)
    mentors = create_mentors(owner_url, harness.tenant.org_id, 60)
    job = harness.accept(mentors)
    async with (
        run_postgres_proxy(settings) as (proxy, proxied_settings),
        worker.run_queue_workers(temporal, proxied_settings),
    ):
        with lock_table(owner_url, "activities"):
            run = await start_job(TimeSkipper(temporal).client, job, settings.temporal.task_queue)
            await wait_until(lambda: _count_waiting_backends(owner_url), bool)
            await proxy.cut_off()

        async def list_pending() -> list[PendingActivityInfo]:
            return list((await run.describe()).raw_description.pending_activities)

        pending = await wait_until(
            list_pending, lambda activities: any(activity.attempt > 3 for activity in activities)
        )
        assert {activity.maximum_attempts for activity in pending} == {0}
        proxy.restore()
        await run.result()
    assert harness.registration.load_outcome(job).counts == build_counts(60, registered=60)
    assert sorted(fetch_registered_mentors(owner_url, job.batch_id)) == sorted(mentors)


async def _count_waiting_backends(owner_url: str) -> int:
    return len(_list_waiting_backends(owner_url))


def _list_waiting_backends(owner_url: str) -> list[int]:
    query: LiteralString = (
        "SELECT pid FROM pg_stat_activity WHERE usename = 'stafett_worker' AND wait_event_type = 'Lock'"
    )
    return [pid for (pid,) in fetch_rows(owner_url, query)]


INTERRUPTIONS: dict[str, LiteralString] = {
    "statement timeout": "SELECT pg_cancel_backend(%s)",  # a timeout has the same SQLSTATE
    "lost connection": "SELECT pg_terminate_backend(%s)",
}


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
async def test_interrupted_chunk_is_unavailable_and_registers_once_when_repeated(
    interruption: str, harness: BulkHarness, owner_url: str
) -> None:
    mentors = create_mentors(owner_url, harness.tenant.org_id, 20)
    job = harness.accept(mentors)
    harness.registration.start_attempt(job)
    chunk = Chunk(job=job, number=0)
    with ThreadPoolExecutor(1) as thread, lock_table(owner_url, "activities"):
        registering = thread.submit(harness.registration.register_chunk, chunk)
        await wait_until(lambda: _count_waiting_backends(owner_url), bool)
        for pid in _list_waiting_backends(owner_url):
            with psycopg.connect(owner_url) as connection:
                connection.execute(INTERRUPTIONS[interruption], [pid])
        with pytest.raises(ServiceUnavailableError):
            registering.result()
    assert harness.registration.load_outcome(job).counts == build_counts(20, pending=20)
    assert harness.registration.register_chunk(chunk) == build_counts(20, registered=20)
    assert harness.registration.load_outcome(job).status is BulkStatus.COMPLETED
    assert sorted(fetch_registered_mentors(owner_url, job.batch_id)) == sorted(mentors)
