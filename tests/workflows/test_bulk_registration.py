"""The window over a batch's chunks, on a real server; time is skipped and the registration is a fake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.interceptors import ActivityInterceptor
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, ChunkRange, ChunkRangeResult
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export_job import STALE_ATTEMPT
from stafett.domain.notification import DeliveryRef, NotificationJob
from stafett.temporal.client import CANCEL_SIGNAL, JOB_STATUS, start_job
from stafett.temporal.queues import outcome_queue
from stafett.temporal.workers import run_workers
from stafett.testing import wait_until
from tests.support.bulk import build_counts
from workflows import policies
from workflows.bulk_registration import BulkRegistration
from workflows.notifications import SendNotifications

ALWAYS = 1_000_000
UNAVAILABLE = ApplicationError(
    "PostgreSQL is unavailable.", type="ServiceUnavailableError", next_retry_delay=timedelta(milliseconds=1)
)


class FakeRegistration:
    """Activities with the product's names, for a batch of `chunks` chunks of one item each."""

    def __init__(self, chunks: int) -> None:
        self.total = chunks
        self.attempts: list[int] = []
        self.starts = self.concurrent = self.max_concurrent = 0
        self.registered: set[int] = set()
        self.failed: set[int] = set()
        self.error_for: Callable[[int], Exception | None] = lambda _number: None
        self.unexpected_errors: dict[int, int] = {}
        self.hangs_after = ALWAYS
        self.stored_status = self.final_status = BulkStatus.COMPLETED

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
    async def register_chunks(self, chunk_range: ChunkRange) -> ChunkRangeResult:
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        await asyncio.sleep(0)
        self.concurrent -= 1
        failed_chunks = []
        for number in chunk_range.numbers:
            self.attempts.append(number)
            if len(self.attempts) == self.hangs_after:
                await asyncio.Event().wait()
            if error := self.error_for(number):
                raise error
            if self.attempts.count(number) <= self.unexpected_errors.get(number, 0):
                failed_chunks.append(number)
            else:
                self.registered.add(number)
        return ChunkRangeResult(counts=self.counts, failed_chunks=tuple(failed_chunks))

    @activity.defn
    async def fail_chunks(self, chunk_range: ChunkRange) -> BulkCounts:
        self.failed |= {*chunk_range.numbers} - self.registered
        return self.counts

    @activity.defn
    async def finish_batch(self, _job: BulkJob) -> BulkOutcome:
        return BulkOutcome(status=self.final_status, counts=self.counts)

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
async def run_batch(
    client: Client,
    batch: FakeRegistration,
    *,
    heartbeats: bool = True,
    skips_time: bool = True,
    runner: WorkflowRunner | None = None,
) -> AsyncIterator[WorkflowHandle[Any, BulkOutcome]]:
    job = BulkJob(batch_id=uuid4(), org_id="nhf", attempt=1, total=batch.total)
    queue = f"test-{job.batch_id}"
    build_worker = partial(
        Worker,
        client,
        activities=batch.activities(),
        interceptors=[ActivityInterceptor()] if heartbeats else [],
        workflow_runner=runner or SandboxedWorkflowRunner(),
    )
    async with run_workers(
        build_worker(task_queue=queue, workflows=[BulkRegistration, SendNotifications]),
        build_worker(task_queue=outcome_queue(queue)),
    ):
        handle = await start_job(TimeSkipper(client).client if skips_time else client, job, queue)
        yield client.get_workflow_handle(handle.id, result_type=BulkOutcome)


async def test_long_batch_is_one_run_with_bounded_concurrency(temporal: Client) -> None:
    batch = FakeRegistration(chunks=40)
    async with run_batch(temporal, batch) as run:
        assert await run.result() == BulkOutcome(status=BulkStatus.COMPLETED, counts=build_counts(40, registered=40))
        description = await run.describe()
    assert description.run_id == description.raw_description.workflow_execution_info.first_run_id
    assert await description.static_summary() is not None
    assert sorted(batch.attempts) == list(range(40))
    assert batch.starts == 1
    assert batch.max_concurrent <= 4


async def test_chunk_with_unexpected_errors_is_failed_alone(temporal: Client) -> None:
    batch = FakeRegistration(chunks=20)
    batch.unexpected_errors = {2: ALWAYS, 7: 4}
    async with run_batch(temporal, batch) as run:
        assert (await run.result()).counts == build_counts(20, registered=19, failed=1)
    assert batch.failed == {2}
    assert {number: batch.attempts.count(number) for number in range(20)} == dict.fromkeys(range(20), 1) | {2: 5, 7: 5}


async def test_run_of_a_batch_without_a_registered_item_fails_with_the_outcome(temporal: Client) -> None:
    batch = FakeRegistration(chunks=2)
    batch.unexpected_errors = {0: ALWAYS, 1: ALWAYS}
    batch.final_status = BulkStatus.FAILED
    async with run_batch(temporal, batch) as run:
        with pytest.raises(WorkflowFailureError) as failed:
            await run.result()
        description = await run.describe()
    assert description.status is WorkflowExecutionStatus.FAILED
    assert description.typed_search_attributes.get(JOB_STATUS) == BulkStatus.FAILED
    error = failed.value.cause
    assert isinstance(error, ApplicationError)
    assert (error.type, error.non_retryable) == ("nothing_registered", True)
    outcome = BulkOutcome(status=BulkStatus.FAILED, counts=build_counts(2, failed=2))
    assert BulkOutcome.model_validate(error.details[0]) == outcome


async def test_unavailability_uses_up_no_retries_of_unexpected_errors(temporal: Client) -> None:
    batch = FakeRegistration(chunks=1)
    batch.error_for = lambda _: UNAVAILABLE if len(batch.attempts) % 2 else None
    batch.unexpected_errors = {0: 8}
    async with run_batch(temporal, batch) as run:
        assert (await run.result()).counts == build_counts(1, registered=1)
    assert len(batch.attempts) == 10


async def test_neither_an_outage_nor_a_timeout_ends_the_retries(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL is unavailable for 23 attempts, and then a worker hangs."""
    monkeypatch.setattr(policies, "HEARTBEAT_TIMEOUT", timedelta(seconds=3))
    runner = UnsandboxedWorkflowRunner()  # the sandbox would import another copy of the timeout
    batch = FakeRegistration(chunks=1)
    batch.error_for = lambda _: UNAVAILABLE if len(batch.attempts) < 24 else None
    batch.hangs_after = 24
    async with run_batch(temporal, batch, heartbeats=False, skips_time=False, runner=runner) as run:
        assert (await run.result()).counts == build_counts(1, registered=1)
    assert len(batch.attempts) == 25


@pytest.mark.parametrize("waiting_for", ["PostgreSQL", "retry"])
async def test_cancel_during_the_wait_takes_effect_at_once(waiting_for: str, temporal: Client) -> None:
    """The batch runs without skipped time, in which it would wait for half a minute or longer."""
    batch = FakeRegistration(chunks=8)
    if waiting_for == "PostgreSQL":
        batch.error_for = lambda _: ApplicationError(
            "unavailable", type="ServiceUnavailableError", next_retry_delay=timedelta(hours=1)
        )
    else:
        batch.unexpected_errors = dict.fromkeys(range(8), ALWAYS)

    async def count_attempts() -> int:
        return len(batch.attempts)

    async with run_batch(temporal, batch, skips_time=False) as run:
        await wait_until(count_attempts, lambda count: count >= 4)
        await run.signal(CANCEL_SIGNAL)
        assert (await run.result()).status is BulkStatus.CANCELLED
    assert batch.failed == set()


async def test_chunk_that_becomes_available_is_retried_until_registered(temporal: Client) -> None:
    batch = FakeRegistration(chunks=1)
    batch.error_for = lambda _: UNAVAILABLE if len(batch.attempts) < 7 else None
    async with run_batch(temporal, batch, skips_time=False) as run:
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
