"""The window over a batch's chunks, on a real server; time is skipped and the registration is a fake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper
from temporalio.worker import Worker

from activities.interceptors import ActivityInterceptor
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, ChunkRange
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export_job import STALE_ATTEMPT
from stafett.domain.notification import DeliveryRef, NotificationJob
from stafett.temporal.client import start_job
from stafett.temporal.workers import run_workers
from tests.support.bulk import build_counts
from workflows.bulk_registration import BulkRegistration
from workflows.notifications import SendNotifications


class FakeRegistration:
    """Activities with the product's names, for a batch of `chunks` chunks of one item each."""

    def __init__(self, chunks: int) -> None:
        self.total = chunks
        self.attempts: list[int] = []
        self.starts = self.concurrent = self.max_concurrent = 0
        self.registered: set[int] = set()
        self.failed: set[int] = set()
        self.error_for: Callable[[int], Exception | None] = lambda _number: None
        self.stored_status = BulkStatus.COMPLETED

    @property
    def counts(self) -> BulkCounts:
        registered, failed = len(self.registered), len(self.failed)
        pending = self.total - registered - failed
        return build_counts(self.total, pending=pending, registered=registered, failed=failed)

    @activity.defn
    async def start_batch(self, _job: BulkJob) -> BulkPlan:
        self.starts += 1
        return BulkPlan(pending_chunks=tuple(range(self.total)), counts=self.counts)

    @activity.defn
    async def register_chunks(self, chunk_range: ChunkRange) -> BulkCounts:
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        await asyncio.sleep(0)
        self.concurrent -= 1
        for number in chunk_range.numbers:
            self.attempts.append(number)
            if error := self.error_for(number):
                raise error
            self.registered.add(number)
        return self.counts

    @activity.defn
    async def fail_chunks(self, chunk_range: ChunkRange) -> BulkCounts:
        self.failed |= {*chunk_range.numbers} - self.registered
        return self.counts

    @activity.defn
    async def finish_batch(self, _job: BulkJob) -> BulkOutcome:
        return BulkOutcome(status=BulkStatus.COMPLETED, counts=self.counts)

    @activity.defn
    async def cancel_batch(self, _job: BulkJob) -> BulkOutcome:
        return BulkOutcome(status=BulkStatus.CANCELLED, counts=self.counts)

    @activity.defn
    async def read_batch_outcome(self, _job: BulkJob) -> BulkOutcome:
        return BulkOutcome(status=self.stored_status, counts=self.counts)

    @activity.defn
    async def find_deliveries(self, _job: NotificationJob) -> tuple[DeliveryRef, ...]:
        return ()

    def activities(self) -> list[Callable[..., Any]]:
        whole_batch = [self.start_batch, self.finish_batch, self.cancel_batch, self.read_batch_outcome]
        return [*whole_batch, self.register_chunks, self.fail_chunks, self.find_deliveries]


@asynccontextmanager
async def run_batch(client: Client, batch: FakeRegistration) -> AsyncIterator[WorkflowHandle[Any, BulkOutcome]]:
    job = BulkJob(batch_id=uuid4(), org_id="nhf", attempt=1, total=batch.total)
    queue = f"test-{job.batch_id}"
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[BulkRegistration, SendNotifications],
        activities=batch.activities(),
        interceptors=[ActivityInterceptor()],
    )
    async with run_workers(worker):
        handle = await start_job(TimeSkipper(client).client, job, queue)
        yield client.get_workflow_handle(handle.id, result_type=BulkOutcome)


async def test_long_batch_continues_in_new_runs_with_bounded_concurrency(temporal: Client) -> None:
    batch = FakeRegistration(chunks=40)
    async with run_batch(temporal, batch) as run:
        assert await run.result() == BulkOutcome(status=BulkStatus.COMPLETED, counts=build_counts(40, registered=40))
    assert sorted(batch.attempts) == list(range(40))
    assert batch.starts == 1
    assert batch.max_concurrent <= 4


async def test_chunk_that_stays_unavailable_is_failed_and_blocks_no_other(temporal: Client) -> None:
    batch = FakeRegistration(chunks=3)
    batch.error_for = lambda number: (
        ApplicationError("unavailable", type="ServiceUnavailableError") if number == 1 else None
    )
    async with run_batch(temporal, batch) as run:
        assert await run.result() == BulkOutcome(
            status=BulkStatus.COMPLETED, counts=build_counts(3, registered=2, failed=1)
        )
    assert batch.attempts.count(1) == 24
    assert batch.failed == {1}


async def test_chunk_that_becomes_available_is_retried_until_registered(temporal: Client) -> None:
    batch = FakeRegistration(chunks=1)
    batch.error_for = lambda _: (
        ApplicationError("unavailable", type="ServiceUnavailableError") if len(batch.attempts) < 7 else None
    )
    async with run_batch(temporal, batch) as run:
        assert (await run.result()).counts == build_counts(1, registered=1)
    assert len(batch.attempts) == 7


@pytest.mark.parametrize(
    ("stored", "returned"),
    [(BulkStatus.COMPLETED, BulkStatus.COMPLETED), (BulkStatus.CANCELLING, BulkStatus.CANCELLED)],
)
async def test_stale_run_returns_the_stored_outcome_and_fails_no_chunks(
    stored: BulkStatus, returned: BulkStatus, temporal: Client
) -> None:
    batch = FakeRegistration(chunks=2)
    batch.stored_status = stored
    batch.error_for = lambda _: ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)
    async with run_batch(temporal, batch) as run:
        assert (await run.result()).status is returned
    assert batch.failed == set()
