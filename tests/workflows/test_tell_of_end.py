"""Telling people: each receiver on its own, for days if it must be, and nothing waits for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper
from temporalio.worker import Worker

from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.notification import Channel, DeliveryRef, NotificationJob
from stafett.temporal.client import JOB_KIND, ORG_ID, cpu_queue, notification_queue, start_job
from stafett.temporal.workers import run_workers
from stafett.testing import wait_until
from tests.workflows.played_stages import PlayedStages
from workflows.bufdir_export import BufdirExport
from workflows.notifications import SendNotifications

ALWAYS = 1_000_000


def a_delivery(channel: Channel = Channel.WEBHOOK) -> DeliveryRef:
    return DeliveryRef(id=uuid4(), org_id="nhf", channel=channel)


class PlayedReceivers:
    """So many times in a row each of them takes nothing."""

    def __init__(self, *reluctant: tuple[DeliveryRef, int]) -> None:
        self.deliveries = tuple(delivery for delivery, _ in reluctant)
        self._refusals = {delivery.id: times for delivery, times in reluctant}
        self.tries: dict[UUID, int] = {}
        self.given_up: list[UUID] = []

    @activity.defn
    async def find_deliveries(self, _telling: NotificationJob) -> tuple[DeliveryRef, ...]:
        return self.deliveries

    @activity.defn
    async def deliver(self, delivery: DeliveryRef) -> None:
        self.tries[delivery.id] = self.tries.get(delivery.id, 0) + 1
        if self.tries[delivery.id] <= self._refusals[delivery.id]:
            raise ApplicationError("not now", type="http_500")

    @activity.defn
    async def give_up_delivery(self, delivery: DeliveryRef) -> None:
        self.given_up.append(delivery.id)


@pytest.fixture
def telling() -> NotificationJob:
    return NotificationJob(org_id="nhf", subject_id=uuid4())


@asynccontextmanager
async def working(
    client: Client, queue: str, receivers: PlayedReceivers, *more: Callable[..., Any]
) -> AsyncIterator[None]:
    ours: list[Callable[..., Any]] = [receivers.find_deliveries, receivers.give_up_delivery, *more]
    async with run_workers(
        Worker(client, task_queue=queue, workflows=[BufdirExport, SendNotifications], activities=ours),
        Worker(client, task_queue=cpu_queue(queue), activities=ours),
        Worker(client, task_queue=notification_queue(queue), activities=[receivers.deliver]),
    ):
        yield


async def told(client: Client, telling: NotificationJob, receivers: PlayedReceivers) -> WorkflowHandle[Any, Any]:
    """A run to its end, its time skipped."""
    queue = f"test-{telling.subject_id}"
    async with working(client, queue, receivers):
        started = await start_job(TimeSkipper(client).client, telling, queue)
        run = client.get_workflow_handle(started.id)
        await run.result()
    return run


async def test_everybody_is_told(temporal: Client, telling: NotificationJob) -> None:
    receivers = PlayedReceivers((a_delivery(), 0), (a_delivery(Channel.EMAIL), 0))
    run = await told(temporal, telling, receivers)
    assert list(receivers.tries.values()) == [1, 1]
    assert receivers.given_up == []
    described = await run.describe()
    assert described.id == f"notify/{telling.subject_id}/1"
    assert (described.typed_search_attributes[ORG_ID], described.typed_search_attributes[JOB_KIND]) == (
        "nhf",
        "TellOfEnd",
    )


async def test_a_receiver_that_is_away_for_hours_is_told_once_it_is_back(
    temporal: Client, telling: NotificationJob
) -> None:
    away = a_delivery()
    receivers = PlayedReceivers((away, 7))
    run = await told(temporal, telling, receivers)
    assert receivers.tries == {away.id: 8}
    assert receivers.given_up == []
    assert await _own_time_of(run) > timedelta(hours=5)


async def test_a_dead_receiver_is_given_up_after_some_three_days_and_costs_no_other_its_message(
    temporal: Client, telling: NotificationJob
) -> None:
    dead, well = a_delivery(), a_delivery(Channel.EMAIL)
    receivers = PlayedReceivers((dead, ALWAYS), (well, 0))
    run = await told(temporal, telling, receivers)
    assert receivers.tries[well.id] == 1
    assert receivers.given_up == [dead.id]
    assert timedelta(days=2) < await _own_time_of(run) < timedelta(days=4)


@pytest.mark.parametrize("fails", [False, True])
async def test_an_export_ends_whoever_cannot_be_told(temporal: Client, job: ExportJob, *, fails: bool) -> None:
    stages = PlayedStages()
    if fails:
        denied = ApplicationError("no", type=ExportErrorCode.PERMISSION_DENIED, non_retryable=True)
        stages.faults["query_activities"] = iter([denied])
    queue, dead = f"test-{job.export_id}", PlayedReceivers((a_delivery(), ALWAYS))
    played = [method for method in stages.registered() if method != stages.find_deliveries]
    async with working(temporal, queue, dead, *played):
        run = await start_job(temporal, job, queue)
        ended = await wait_until(run.describe, lambda described: described.close_time is not None)
        child = temporal.get_workflow_handle(f"notify/{job.export_id}/1")
        await wait_until(_tries_of(dead), bool)
        assert (await child.describe()).status is WorkflowExecutionStatus.RUNNING
        await child.terminate()
    expected = WorkflowExecutionStatus.FAILED if fails else WorkflowExecutionStatus.COMPLETED
    assert ended.status is expected


async def test_an_end_that_the_sweeper_tells_already_is_not_told_twice(temporal: Client, job: ExportJob) -> None:
    telling = NotificationJob.from_job(job)
    before = await start_job(temporal, telling, "nobody")
    stages = PlayedStages()
    queue = f"test-{job.export_id}"
    played = stages.registered()
    async with run_workers(
        Worker(temporal, task_queue=queue, workflows=[BufdirExport], activities=played),
        Worker(temporal, task_queue=cpu_queue(queue), activities=played),
    ):
        run = await start_job(temporal, job, queue)
        ended = await wait_until(run.describe, lambda described: described.close_time is not None)
    assert ended.status is WorkflowExecutionStatus.COMPLETED
    described = await temporal.get_workflow_handle(telling.workflow_id).describe()
    assert (described.run_id, described.status) == (before.first_execution_run_id, WorkflowExecutionStatus.RUNNING)
    await before.terminate()


def _tries_of(receivers: PlayedReceivers) -> Callable[[], Any]:
    async def tries() -> dict[UUID, int]:
        return receivers.tries

    return tries


async def _own_time_of(run: WorkflowHandle[Any, Any]) -> timedelta:
    """From its first event to its last one, as the engine's clock for it went."""
    events = (await run.fetch_history()).events
    return events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()
