"""Bulk-registration workflows: continue-as-new, cancellation from the API and Temporal, and reconciliation."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus

from activities.job_reconciliation import JobReconciler
from activities.reconciliation import OpenWork, ReconciliationActivities
from stafett.audit import trail as audit_trail
from stafett.bulk.registration import BatchProcessor
from stafett.database.maintenance import MaintenanceDatabase
from stafett.domain.export_job import SweepReport
from stafett.reconciliation import OpenJob, list_open_batches
from stafett.settings import Settings, require_setting
from stafett.temporal.client import CANCEL_SIGNAL, JOB_KIND, JOB_STATUS, ORG_ID, PERIOD_START
from stafett.temporal.runs import NO_LISTED_RUNS, ListedRuns
from stafett.testing import ExportClient, wait_until
from tests.support.bulk import MORNING, BulkClient, create_mentors, fetch_registered_mentors, fetch_rows
from tests.support.fixture_types import RunWorker

ITEM_COUNT = 10_000


@pytest.fixture
def bulk_client(export_client: ExportClient) -> BulkClient:
    return BulkClient(export_client.http_client, export_client.org_id, export_client.headers)


@pytest.fixture
def sweeper(temporal: Client, settings: Settings, org_id: str) -> Iterator[ReconciliationActivities]:
    database = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
    processor = BatchProcessor(database, actor=audit_trail.SWEEPER_ACTOR)

    def list_open_jobs() -> Iterator[OpenJob]:
        return (open_job for open_job in list_open_batches(database, processor) if open_job.job.org_id == org_id)

    async def list_no_runs() -> ListedRuns:
        return NO_LISTED_RUNS

    reconcile_job = JobReconciler(temporal, settings.temporal.task_queue)
    yield ReconciliationActivities(list_no_runs, reconcile_job, OpenWork([list_open_jobs], lambda: ()), lambda: None)
    database.close()


def get_run_handle(temporal: Client, batch_id: str) -> Any:
    return temporal.get_workflow_handle(f"bulk-registration/{batch_id}")


async def wait_until_run_is_listed(temporal: Client, batch_id: str) -> None:
    query = f"WorkflowId = 'bulk-registration/{batch_id}'"

    async def list_run_ids() -> list[str]:
        return [run.id async for run in temporal.list_workflows(query)]

    await wait_until(list_run_ids, bool)


async def test_ten_thousand_items_need_few_events_and_the_run_is_queryable(
    bulk_client: BulkClient, temporal: Client, run_worker: RunWorker, owner_url: str
) -> None:
    mentors = create_mentors(owner_url, bulk_client.org_id, ITEM_COUNT)
    job = await bulk_client.start_batch(mentors)
    async with run_worker():
        ended = await bulk_client.wait_for_completion(job["id"])
        run = get_run_handle(temporal, job["id"])
        await wait_until(run.describe, lambda described: described.status is WorkflowExecutionStatus.COMPLETED)
        progress = await run.query("progress")
        details = await run.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    assert ended["counts"] == {"total": ITEM_COUNT, "pending": 0, "registered": ITEM_COUNT, "failed": 0, "cancelled": 0}
    assert len(ended["items"]) == 200
    assert sorted(fetch_registered_mentors(owner_url, job["id"])) == sorted(mentors)
    assert progress == {"status": "completed", "attempt": 1, "counts": ended["counts"]}
    assert "| 10,000 | 0 | 10,000 | 0 | 0 |" in details.current_details
    described = await run.describe()
    assert described.history_length < 150
    attributes = described.typed_search_attributes
    assert (attributes[ORG_ID], attributes[JOB_KIND]) == (bulk_client.org_id, "BulkRegistration")
    assert (attributes[JOB_STATUS], attributes[PERIOD_START]) == ("completed", MORNING)


@pytest.mark.parametrize("by", ["api", "signal", "temporal"])
async def test_cancelling_a_running_batch_retains_registered_activities(
    by: str, bulk_client: BulkClient, temporal: Client, run_worker: RunWorker, owner_url: str
) -> None:
    mentors = create_mentors(owner_url, bulk_client.org_id, ITEM_COUNT)
    job = await bulk_client.start_batch(mentors)
    async with run_worker():
        await wait_until(lambda: _count_registered(owner_url, job["id"]), bool)
        match by:
            case "api":
                assert (await bulk_client.post(f"/{job['id']}/cancel")).status_code == 202
            case "signal":
                await get_run_handle(temporal, job["id"]).signal(CANCEL_SIGNAL)
            case _:
                await get_run_handle(temporal, job["id"]).cancel()
        ended = await bulk_client.wait_for_completion(job["id"])
        counts = ended["counts"]
        assert (ended["status"], counts["pending"], counts["failed"]) == ("cancelled", 0, 0)
        assert 0 < counts["registered"] < ITEM_COUNT
        assert counts["registered"] == len(fetch_registered_mentors(owner_url, job["id"]))
        closed = await wait_until(get_run_handle(temporal, job["id"]).describe, lambda described: described.close_time)
        by_signal = by == "signal"
        assert (closed.status is WorkflowExecutionStatus.COMPLETED) is by_signal
        await bulk_client.post(f"/{job['id']}/retry")
        assert (await bulk_client.wait_for_completion(job["id"]))["status"] == "completed"
    assert sorted(fetch_registered_mentors(owner_url, job["id"])) == sorted(mentors)


async def _count_registered(owner_url: str, batch_id: str) -> int:
    ((count,),) = fetch_rows(owner_url, "SELECT registered FROM bulk_registrations WHERE id = %s", UUID(batch_id))
    return int(count)


async def test_batch_with_a_terminated_run_fails_and_can_be_retried(
    bulk_client: BulkClient, temporal: Client, run_worker: RunWorker, sweeper: ReconciliationActivities, owner_url: str
) -> None:
    job = await bulk_client.start_batch(create_mentors(owner_url, bulk_client.org_id, 3))
    await wait_until_run_is_listed(temporal, job["id"])
    await get_run_handle(temporal, job["id"]).terminate()
    assert await sweeper.sweep_jobs() == SweepReport(failed=1)
    failed = (await bulk_client.get(f"/{job['id']}")).json()
    assert (failed["status"], failed["error"]["retryable"]) == ("failed", True)
    assert {item["error"]["code"] for item in failed["items"]} == {"temporarily_unavailable"}
    assert await sweeper.sweep_jobs() == SweepReport()
    await bulk_client.post(f"/{job['id']}/retry")
    async with run_worker():
        assert (await bulk_client.wait_for_completion(job["id"]))["status"] == "completed"


async def test_batch_that_registers_nothing_is_a_failed_run_and_can_be_retried(
    bulk_client: BulkClient, temporal: Client, run_worker: RunWorker, sweeper: ReconciliationActivities
) -> None:
    job = await bulk_client.start_batch([str(uuid4())])
    async with run_worker():
        for attempt in (1, 2):
            ended = await bulk_client.wait_for_completion(job["id"])
            assert (ended["status"], ended["counts"]["failed"]) == ("failed", 1)
            closed = await wait_until(
                get_run_handle(temporal, job["id"]).describe, lambda described: described.close_time
            )
            assert closed.status is WorkflowExecutionStatus.FAILED
            assert await sweeper.sweep_jobs() == SweepReport()
            if attempt == 1:
                await bulk_client.post(f"/{job['id']}/retry")


async def test_cancel_that_never_reached_the_run_is_carried_out(
    bulk_client: BulkClient, temporal: Client, run_worker: RunWorker, sweeper: ReconciliationActivities, owner_url: str
) -> None:
    job = await bulk_client.start_batch(create_mentors(owner_url, bulk_client.org_id, 3))
    await wait_until_run_is_listed(temporal, job["id"])
    fetch_rows(
        owner_url, "UPDATE bulk_registrations SET status = 'cancelling' WHERE id = %s RETURNING 1", UUID(job["id"])
    )
    async with run_worker():
        assert (await bulk_client.wait_for_completion(job["id"]))["status"] == "cancelled"
    assert await sweeper.sweep_jobs() == SweepReport()


@pytest.mark.parametrize(
    ("batches", "size"),
    [(20, 50), pytest.param(5, 1000, marks=pytest.mark.soak)],
    ids=["20 batches of 50", "5 batches of 1,000"],
)
async def test_concurrent_batches_complete_with_exact_counts(
    batches: int, size: int, bulk_client: BulkClient, run_worker: RunWorker, owner_url: str
) -> None:
    mentors = create_mentors(owner_url, bulk_client.org_id, batches * size)
    parts = [mentors[at : at + size] for at in range(0, batches * size, size)]
    async with run_worker():
        jobs = [await bulk_client.start_batch(part) for part in parts]
        completed = [await bulk_client.wait_for_completion(job["id"]) for job in jobs]
    assert all(job["counts"]["registered"] == size for job in completed)
    assert [sorted(fetch_registered_mentors(owner_url, job["id"])) for job in jobs] == [sorted(part) for part in parts]
