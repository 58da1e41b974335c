"""A batch's run: long ones go on in another, operators stop them from anywhere, and nothing is left pending."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus

from activities.reconciliation import ReconciliationActivities
from stafett.audit import trail as audit_trail
from stafett.bulk.registration import ProxyRegistration
from stafett.database.session import Database
from stafett.domain.export_job import SweepReport
from stafett.reconciliation import OpenBatches, OpenJob
from stafett.settings import Settings, require_setting
from stafett.temporal.client import CANCEL_SIGNAL, JOB_KIND, JOB_STATUS, ORG_ID, PERIOD_START
from stafett.testing import ExportClient, wait_until
from tests.bulk import MORNING, Coordinator, activities_of, many_mentors, rows

Working = Callable[[], AbstractAsyncContextManager[None]]
MANY = 10_000


@pytest.fixture
def coordinator(button: ExportClient) -> Coordinator:
    return Coordinator(button.http_client, button.org_id, button.headers)


@pytest.fixture
def sweeper(temporal: Client, settings: Settings, org_id: str) -> Iterator[ReconciliationActivities]:
    database = Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
    unfinished = OpenBatches(database, ProxyRegistration(database, actor=audit_trail.SWEEPER_ACTOR))

    def mine() -> Iterator[OpenJob]:
        return (one for one in unfinished() if one.job.org_id == org_id)

    async def nobody() -> int:
        return 0

    queue = settings.temporal.task_queue
    yield ReconciliationActivities(temporal, queue, [mine], lambda: None, nobody)
    database.close()


def run_of(temporal: Client, batch_id: str) -> Any:
    return temporal.get_workflow_handle(f"bulk-registration/{batch_id}")


async def is_known(temporal: Client, batch_id: str) -> None:
    query = f"WorkflowId = 'bulk-registration/{batch_id}'"

    async def found() -> list[str]:
        return [run.id async for run in temporal.list_workflows(query)]

    await wait_until(found, bool)


async def test_ten_thousand_items_are_a_hundred_events_and_their_run_can_be_read(
    coordinator: Coordinator, temporal: Client, working: Working, owner_url: str
) -> None:
    mentors = many_mentors(owner_url, coordinator.org_id, MANY)
    job = await coordinator.submitted(mentors)
    async with working():
        ended = await coordinator.end_of(job["id"], within=60)
        run = run_of(temporal, job["id"])
        await wait_until(run.describe, lambda described: described.status is WorkflowExecutionStatus.COMPLETED)
        progress = await run.query("progress")
        details = await run.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    assert ended["counts"] == {"total": MANY, "pending": 0, "registered": MANY, "failed": 0, "cancelled": 0}
    assert len(ended["items"]) == 200
    assert sorted(activities_of(owner_url, job["id"])) == sorted(mentors)
    assert progress == {"status": "completed", "attempt": 1, "counts": ended["counts"]}
    assert "| 10,000 | 0 | 10,000 | 0 | 0 |" in details.current_details
    described = await run.describe()
    assert described.history_length < 150
    about = described.typed_search_attributes
    assert (about[ORG_ID], about[JOB_KIND]) == (coordinator.org_id, "BulkRegistration")
    assert (about[JOB_STATUS], about[PERIOD_START]) == ("completed", MORNING)


@pytest.mark.parametrize("by", ["the gateway", "a signal", "the engine"])
async def test_a_batch_is_stopped_in_the_middle_and_what_is_registered_stays(
    by: str, coordinator: Coordinator, temporal: Client, working: Working, owner_url: str
) -> None:
    mentors = many_mentors(owner_url, coordinator.org_id, MANY)
    job = await coordinator.submitted(mentors)
    async with working():
        await wait_until(lambda: _registered(owner_url, job["id"]), bool)
        match by:
            case "the gateway":
                assert (await coordinator.post(f"/{job['id']}/cancel")).status_code == 202
            case "a signal":
                await run_of(temporal, job["id"]).signal(CANCEL_SIGNAL)
            case _:
                await run_of(temporal, job["id"]).cancel()
        ended = await coordinator.end_of(job["id"])
        counts = ended["counts"]
        assert (ended["status"], counts["pending"], counts["failed"]) == ("cancelled", 0, 0)
        assert 0 < counts["registered"] < MANY
        assert counts["registered"] == len(activities_of(owner_url, job["id"]))
        closed = await wait_until(run_of(temporal, job["id"]).describe, lambda described: described.close_time)
        by_signal = by == "a signal"
        assert (closed.status is WorkflowExecutionStatus.COMPLETED) is by_signal
        await coordinator.post(f"/{job['id']}/retry")
        assert (await coordinator.end_of(job["id"], within=60))["status"] == "completed"
    assert sorted(activities_of(owner_url, job["id"])) == sorted(mentors)


async def _registered(owner_url: str, batch_id: str) -> int:
    ((count,),) = rows(owner_url, "SELECT registered FROM bulk_registrations WHERE id = %s", UUID(batch_id))
    return int(count)


async def test_a_batch_whose_run_was_terminated_has_failed_and_can_be_tried_again(
    coordinator: Coordinator, temporal: Client, working: Working, sweeper: ReconciliationActivities, owner_url: str
) -> None:
    job = await coordinator.submitted(many_mentors(owner_url, coordinator.org_id, 3))
    await is_known(temporal, job["id"])
    await run_of(temporal, job["id"]).terminate()
    assert await sweeper.sweep_jobs() == SweepReport(failed=1)
    failed = (await coordinator.get(f"/{job['id']}")).json()
    assert (failed["status"], failed["error"]["retryable"]) == ("failed", True)
    assert {one["error"]["code"] for one in failed["items"]} == {"temporarily_unavailable"}
    assert await sweeper.sweep_jobs() == SweepReport()
    await coordinator.post(f"/{job['id']}/retry")
    async with working():
        assert (await coordinator.end_of(job["id"]))["status"] == "completed"


async def test_a_cancel_that_the_run_never_heard_of_is_made_known_by_the_sweeper(
    coordinator: Coordinator, temporal: Client, working: Working, sweeper: ReconciliationActivities, owner_url: str
) -> None:
    job = await coordinator.submitted(many_mentors(owner_url, coordinator.org_id, 3))
    await is_known(temporal, job["id"])
    rows(owner_url, "UPDATE bulk_registrations SET status = 'cancelling' WHERE id = %s RETURNING 1", UUID(job["id"]))
    async with working():
        assert (await coordinator.end_of(job["id"]))["status"] == "cancelled"
    assert await sweeper.sweep_jobs() == SweepReport()


@pytest.mark.parametrize(
    ("batches", "size"), [(20, 50), pytest.param(5, 1000, marks=pytest.mark.soak)], ids=["20 of 50", "5 of 1,000"]
)
async def test_many_batches_at_once_each_end_with_exact_counts(
    batches: int, size: int, coordinator: Coordinator, working: Working, owner_url: str
) -> None:
    mentors = many_mentors(owner_url, coordinator.org_id, batches * size)
    parts = [mentors[at : at + size] for at in range(0, batches * size, size)]
    async with working():
        jobs = [await coordinator.submitted(part) for part in parts]
        ends = [await coordinator.end_of(job["id"], within=60) for job in jobs]
    assert all(end["counts"]["registered"] == size for end in ends)
    assert [sorted(activities_of(owner_url, job["id"])) for job in jobs] == [sorted(part) for part in parts]
