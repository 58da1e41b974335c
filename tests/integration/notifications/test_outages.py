"""Deliveries during outages: only failures of the receiver count towards its backoff and its limit."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import structlog
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper

import worker
from stafett.database.session import Database
from stafett.domain.errors import DeliveryError
from stafett.domain.notification import NotificationJob
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.sender import DeliverySender, backoff_after
from stafett.settings import Settings, WebhookSettings
from stafett.temporal.client import start_job
from stafett.testing import Tenant, wait_until
from stafett.webhooks.sender import WebhookMessage, WebhookSender
from tests.support.fixture_types import RunWorker
from tests.support.postgres_proxy import run_postgres_proxy
from tests.support.webhook_receiver import WebhookReceiver, run_receiver


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks": WebhookSettings(allow_private_networks=True)})


@dataclass
class DisruptiveReceiver(WebhookReceiver):
    """A receiver that calls a function before it answers the request of this number."""

    disrupted_request: int = 0
    disrupt: Callable[[], None] = field(default=lambda: None)

    def take_next_status(self) -> int:
        if len(self.requests) == self.disrupted_request:
            self.disrupt()
        return super().take_next_status()


@pytest.fixture
def receiver() -> Iterator[DisruptiveReceiver]:
    receiver = DisruptiveReceiver()
    with run_receiver(receiver):
        yield receiver


@pytest.fixture
def test_message(owner_url: str, tenant: Tenant, receiver: WebhookReceiver) -> NotificationJob:
    """A pending test message to the receiver."""
    with psycopg.connect(owner_url) as connection:
        webhook = connection.execute(
            "INSERT INTO webhooks (id, org_id, url, created_by) VALUES (gen_random_uuid(), %s, %s, %s) RETURNING id",
            [tenant.org_id, receiver.url, tenant.coordinator],
        ).fetchone()
        assert webhook
        connection.execute(
            "INSERT INTO webhook_secrets (webhook_id, org_id, secret) VALUES (%s, %s, 'whsec_c2VjcmV0')",
            [*webhook, tenant.org_id],
        )
        delivery = connection.execute(
            "INSERT INTO deliveries (id, org_id, webhook_id, channel) VALUES (gen_random_uuid(), %s, %s, 'webhook')"
            " RETURNING id",
            [tenant.org_id, *webhook],
        ).fetchone()
    assert delivery
    return NotificationJob(org_id=tenant.org_id, subject_id=delivery[0])


def fetch_delivery(owner_url: str, delivery_id: UUID) -> tuple[Any, ...]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT state, failures, last_error FROM deliveries WHERE id = %s"
        row = connection.execute(query, [delivery_id]).fetchone()
    assert row
    return row


async def start_with_skipped_time(
    temporal: Client, job: NotificationJob, settings: Settings
) -> WorkflowHandle[Any, Any]:
    return await start_job(TimeSkipper(temporal).client, job, settings.temporal.task_queue)


async def test_outage_of_postgresql_neither_counts_nor_delays_a_delivery(
    test_message: NotificationJob,
    receiver: DisruptiveReceiver,
    temporal: Client,
    settings: Settings,
    owner_url: str,
) -> None:
    """The receiver fails once. PostgreSQL becomes unavailable while the second message is on its way."""
    receiver.statuses, receiver.disrupted_request = [500, 204], 2
    async with run_postgres_proxy(settings) as (proxy, proxied_settings):
        receiver.disrupt = proxy.cut_off_from_thread
        async with worker.run_queue_workers(temporal, proxied_settings):
            run = await start_with_skipped_time(temporal, test_message, settings)

            async def list_pending() -> list[PendingActivityInfo]:
                return list((await run.describe()).raw_description.pending_activities)

            (waiting,) = await wait_until(
                list_pending, lambda activities: [activity.attempt > 8 for activity in activities] == [True]
            )
            assert waiting.current_retry_interval.ToTimedelta() <= timedelta(minutes=1)
            assert fetch_delivery(owner_url, test_message.subject_id) == ("failed", 1, "http_500")
            proxy.restore()
            await run.result()
    assert fetch_delivery(owner_url, test_message.subject_id) == ("delivered", 1, None)
    assert len(receiver.requests) == 3
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


class BrokenWebhookSender(WebhookSender):
    """A sender with an error of its own."""

    def __init__(self) -> None:
        pass

    async def send(self, message: WebhookMessage) -> None:
        raise RuntimeError(message.url)


async def test_unexpected_error_counts_and_is_logged_without_its_text(
    test_message: NotificationJob, worker_database: Database, owner_url: str
) -> None:
    store = DeliveryStore(worker_database)
    (delivery,) = store.find_pending(test_message)
    with ThreadPoolExecutor(1) as executor, structlog.testing.capture_logs() as logs:
        sender = DeliverySender(store, BrokenWebhookSender(), None, executor)
        with pytest.raises(DeliveryError) as raised:
            await sender.deliver(delivery)
    assert raised.value.retry_after == backoff_after(1)
    assert fetch_delivery(owner_url, test_message.subject_id) == ("failed", 1, "unexpected")
    assert [(line["event"], line["error"]) for line in logs] == [("delivery_failed", "RuntimeError")]
    assert "127.0.0.1" not in str(logs)


async def test_dead_receiver_is_given_up_after_three_days(
    test_message: NotificationJob,
    receiver: DisruptiveReceiver,
    temporal: Client,
    settings: Settings,
    owner_url: str,
    run_worker: RunWorker,
) -> None:
    receiver.statuses = [503]
    async with run_worker():
        run = await start_with_skipped_time(temporal, test_message, settings)
        await run.result()
    assert fetch_delivery(owner_url, test_message.subject_id) == ("given_up", 13, "http_503")
    assert len(receiver.requests) == 13
    events = (await run.fetch_history()).events
    duration = events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()
    assert timedelta(days=2) < duration < timedelta(days=4)
