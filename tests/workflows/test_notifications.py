"""Notifications: each delivery is retried on its own, for days if needed, and no job waits for them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper
from temporalio.worker import Worker

from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.notification import Channel, DeliveryRef, NotificationJob
from stafett.temporal.client import JOB_KIND, ORG_ID, start_job
from stafett.temporal.queues import cpu_queue, notification_queue, outcome_queue, query_queue
from stafett.temporal.workers import run_workers
from stafett.testing import wait_until
from tests.support.fake_stages import FakeStages, run_export
from workflows.bufdir_export import BufdirExport
from workflows.notifications import SendNotifications

ALWAYS = 1_000_000


def make_delivery(channel: Channel = Channel.WEBHOOK) -> DeliveryRef:
    return DeliveryRef(id=uuid4(), org_id="nhf", channel=channel)


class FakeReceivers:
    """Receivers that each refuse their first deliveries, as many as given."""

    def __init__(self, *refusals: tuple[DeliveryRef, int]) -> None:
        self.deliveries = tuple(delivery for delivery, _ in refusals)
        self._refusals = {delivery.id: times for delivery, times in refusals}
        self.attempts: dict[UUID, int] = {}
        self.retry_delay = timedelta(hours=6)
        self.given_up: list[UUID] = []

    @activity.defn
    async def find_deliveries(self, _job: NotificationJob) -> tuple[DeliveryRef, ...]:
        return self.deliveries

    @activity.defn
    async def deliver(self, delivery: DeliveryRef) -> None:
        self.attempts[delivery.id] = self.attempts.get(delivery.id, 0) + 1
        if self.attempts[delivery.id] <= self._refusals[delivery.id]:
            raise ApplicationError("not now", type="http_500", next_retry_delay=self.retry_delay)

    @activity.defn
    async def give_up_delivery(self, delivery: DeliveryRef) -> None:
        self.given_up.append(delivery.id)


@pytest.fixture
def notification_job() -> NotificationJob:
    return NotificationJob(org_id="nhf", subject_id=uuid4())


@asynccontextmanager
async def run_all_workers(
    client: Client, queue: str, receivers: FakeReceivers, *activities: Callable[..., Any]
) -> AsyncIterator[None]:
    registered: list[Callable[..., Any]] = [receivers.find_deliveries, receivers.give_up_delivery, *activities]
    async with run_workers(
        Worker(client, task_queue=queue, workflows=[BufdirExport, SendNotifications], activities=registered),
        Worker(client, task_queue=query_queue(queue), activities=registered),
        Worker(client, task_queue=cpu_queue(queue), activities=registered),
        Worker(client, task_queue=outcome_queue(queue), activities=registered),
        Worker(client, task_queue=notification_queue(queue), activities=[receivers.deliver]),
    ):
        yield


async def run_to_end(
    client: Client, notification_job: NotificationJob, receivers: FakeReceivers
) -> WorkflowHandle[Any, Any]:
    """Run the workflow to its end, with its time skipped."""
    queue = f"test-{notification_job.subject_id}"
    async with run_all_workers(client, queue, receivers):
        handle = await start_job(TimeSkipper(client).client, notification_job, queue)
        run = client.get_workflow_handle(handle.id)
        await run.result()
    return run


async def test_every_receiver_gets_the_notification(temporal: Client, notification_job: NotificationJob) -> None:
    receivers = FakeReceivers((make_delivery(), 0), (make_delivery(Channel.EMAIL), 0))
    run = await run_to_end(temporal, notification_job, receivers)
    assert list(receivers.attempts.values()) == [1, 1]
    assert receivers.given_up == []
    description = await run.describe()
    assert description.id == f"notify/{notification_job.subject_id}/1"
    assert (description.typed_search_attributes[ORG_ID], description.typed_search_attributes[JOB_KIND]) == (
        "nhf",
        "SendNotifications",
    )


async def test_delivery_is_retried_after_the_delay_of_its_error(
    temporal: Client, notification_job: NotificationJob
) -> None:
    unavailable = make_delivery()
    receivers = FakeReceivers((unavailable, 2))
    run = await run_to_end(temporal, notification_job, receivers)
    assert receivers.attempts == {unavailable.id: 3}
    assert receivers.given_up == []
    assert timedelta(hours=12) <= await _workflow_duration(run) < timedelta(hours=13)


async def test_delivery_is_given_up_after_two_weeks_and_delays_no_other(
    temporal: Client, notification_job: NotificationJob
) -> None:
    dead, healthy = make_delivery(), make_delivery(Channel.EMAIL)
    receivers = FakeReceivers((dead, ALWAYS), (healthy, 0))
    receivers.retry_delay = timedelta(days=6)
    run = await run_to_end(temporal, notification_job, receivers)
    assert receivers.attempts == {dead.id: 3, healthy.id: 1}
    assert receivers.given_up == [dead.id]
    assert timedelta(days=12) <= await _workflow_duration(run) < timedelta(days=15)


@pytest.mark.parametrize("fails", [False, True])
async def test_export_finishes_although_no_receiver_can_be_notified(
    temporal: Client, job: ExportJob, *, fails: bool
) -> None:
    stages = FakeStages()
    if fails:
        denied = ApplicationError("no", type=ExportErrorCode.PERMISSION_DENIED, non_retryable=True)
        stages.faults["query_activities"] = iter([denied])
    queue, dead = f"test-{job.export_id}", FakeReceivers((make_delivery(), ALWAYS))
    activities = [method for method in stages.activities() if method != stages.find_deliveries]
    async with run_all_workers(temporal, queue, dead, *activities):
        run = await start_job(temporal, job, queue)
        finished = await wait_until(run.describe, lambda description: description.close_time is not None)
        child = temporal.get_workflow_handle(f"notify/{job.export_id}/1")
        await wait_until(_poll_attempts(dead), bool)
        assert (await child.describe()).status is WorkflowExecutionStatus.RUNNING
        await child.terminate()
    expected = WorkflowExecutionStatus.FAILED if fails else WorkflowExecutionStatus.COMPLETED
    assert finished.status is expected


@pytest.mark.parametrize("fails", [False, True])
async def test_no_run_is_started_without_a_notification_to_deliver(
    temporal: Client, job: ExportJob, *, fails: bool
) -> None:
    stages = FakeStages()
    stages.has_deliveries = False
    if fails:
        denied = ApplicationError("no", type=ExportErrorCode.PERMISSION_DENIED, non_retryable=True)
        stages.faults["query_activities"] = iter([denied])
    async with run_export(temporal, job, stages) as run:
        with pytest.raises(WorkflowFailureError) if fails else nullcontext():
            await run.result()
        events = (await run.fetch_history()).events
    child_event = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    assert child_event not in {event.event_type for event in events}


async def test_notification_started_by_the_sweeper_is_not_started_again(temporal: Client, job: ExportJob) -> None:
    notification_job = NotificationJob.from_job(job)
    earlier = await start_job(temporal, notification_job, "queue-without-workers")
    stages = FakeStages()
    queue = f"test-{job.export_id}"
    activities = stages.activities()
    async with run_workers(
        Worker(temporal, task_queue=queue, workflows=[BufdirExport], activities=activities),
        Worker(temporal, task_queue=query_queue(queue), activities=activities),
        Worker(temporal, task_queue=cpu_queue(queue), activities=activities),
        Worker(temporal, task_queue=outcome_queue(queue), activities=activities),
    ):
        run = await start_job(temporal, job, queue)
        finished = await wait_until(run.describe, lambda description: description.close_time is not None)
    assert finished.status is WorkflowExecutionStatus.COMPLETED
    description = await temporal.get_workflow_handle(notification_job.workflow_id).describe()
    assert (description.run_id, description.status) == (earlier.first_execution_run_id, WorkflowExecutionStatus.RUNNING)
    await earlier.terminate()


def _poll_attempts(receivers: FakeReceivers) -> Callable[[], Any]:
    async def poll() -> dict[UUID, int]:
        return receivers.attempts

    return poll


async def _workflow_duration(run: WorkflowHandle[Any, Any]) -> timedelta:
    """Return the time from the first event of the history to the last, by Temporal's skipped clock."""
    events = (await run.fetch_history()).events
    return events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()
