"""The window over a batch's chunks, on a real server; time is skipped, the registering is played."""

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
from tests.bulk import counts
from workflows.bulk_registration import BulkRegistration
from workflows.notifications import SendNotifications


class PlayedRegistration:
    """Activities of the same names, over so many chunks of one item each."""

    def __init__(self, chunks: int) -> None:
        self.total = chunks
        self.tried: list[int] = []
        self.begun = self.at_once = self.most_at_once = 0
        self.registered: set[int] = set()
        self.given_up: set[int] = set()
        self.refuses: Callable[[int], Exception | None] = lambda _number: None
        self.end_elsewhere = BulkStatus.COMPLETED

    @property
    def counts(self) -> BulkCounts:
        settled = len(self.registered), len(self.given_up)
        return counts(self.total, pending=self.total - sum(settled), registered=settled[0], failed=settled[1])

    @activity.defn
    async def start_batch(self, _job: BulkJob) -> BulkPlan:
        self.begun += 1
        return BulkPlan(pending_chunks=tuple(range(self.total)), counts=self.counts)

    @activity.defn
    async def register_chunks(self, stretch: ChunkRange) -> BulkCounts:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        for number in stretch.numbers:
            self.tried.append(number)
            if refusal := self.refuses(number):
                raise refusal
            self.registered.add(number)
        return self.counts

    @activity.defn
    async def fail_chunks(self, stretch: ChunkRange) -> BulkCounts:
        self.given_up |= {*stretch.numbers} - self.registered
        return self.counts

    @activity.defn
    async def finish_batch(self, _job: BulkJob) -> BulkOutcome:
        return BulkOutcome(status=BulkStatus.COMPLETED, counts=self.counts)

    @activity.defn
    async def cancel_batch(self, _job: BulkJob) -> BulkOutcome:
        return BulkOutcome(status=BulkStatus.CANCELLED, counts=self.counts)

    @activity.defn
    async def read_batch_outcome(self, _job: BulkJob) -> BulkOutcome:
        return BulkOutcome(status=self.end_elsewhere, counts=self.counts)

    @activity.defn
    async def find_deliveries(self, _telling: NotificationJob) -> tuple[DeliveryRef, ...]:
        return ()

    def activities(self) -> list[Callable[..., Any]]:
        batch = [self.start_batch, self.finish_batch, self.cancel_batch, self.read_batch_outcome]
        return [*batch, self.register_chunks, self.fail_chunks, self.find_deliveries]


@asynccontextmanager
async def running(client: Client, played: PlayedRegistration) -> AsyncIterator[WorkflowHandle[Any, BulkOutcome]]:
    job = BulkJob(batch_id=uuid4(), org_id="nhf", attempt=1, total=played.total)
    queue = f"test-{job.batch_id}"
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[BulkRegistration, SendNotifications],
        activities=played.activities(),
        interceptors=[ActivityInterceptor()],
    )
    async with run_workers(worker):
        started = await start_job(TimeSkipper(client).client, job, queue)
        yield client.get_workflow_handle(started.id, result_type=BulkOutcome)


async def test_a_long_batch_goes_on_in_further_runs_a_few_chunks_at_a_time(temporal: Client) -> None:
    played = PlayedRegistration(chunks=40)
    async with running(temporal, played) as run:
        assert await run.result() == BulkOutcome(status=BulkStatus.COMPLETED, counts=counts(40, registered=40))
    assert sorted(played.tried) == list(range(40))
    assert played.begun == 1
    assert played.most_at_once <= 4


async def test_a_chunk_that_cannot_be_reached_for_good_is_given_up_and_holds_up_no_other(temporal: Client) -> None:
    played = PlayedRegistration(chunks=3)
    played.refuses = lambda number: ApplicationError("away", type="ServiceUnavailableError") if number == 1 else None
    async with running(temporal, played) as run:
        assert await run.result() == BulkOutcome(status=BulkStatus.COMPLETED, counts=counts(3, registered=2, failed=1))
    assert played.tried.count(1) == 24
    assert played.given_up == {1}


async def test_a_chunk_that_can_be_reached_again_is_tried_until_then(temporal: Client) -> None:
    played = PlayedRegistration(chunks=1)
    played.refuses = lambda _: ApplicationError("away", type="ServiceUnavailableError") if len(played.tried) < 7 else None
    async with running(temporal, played) as run:
        assert (await run.result()).counts == counts(1, registered=1)
    assert len(played.tried) == 7


@pytest.mark.parametrize(
    ("elsewhere", "end"),
    [(BulkStatus.COMPLETED, BulkStatus.COMPLETED), (BulkStatus.CANCELLING, BulkStatus.CANCELLED)],
)
async def test_a_run_that_finds_itself_too_late_writes_no_more(
    elsewhere: BulkStatus, end: BulkStatus, temporal: Client
) -> None:
    played = PlayedRegistration(chunks=2)
    played.end_elsewhere = elsewhere
    played.refuses = lambda _: ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)
    async with running(temporal, played) as run:
        assert (await run.result()).status is end
    assert played.given_up == set()
