"""The sweeper finds notifications that were not sent when their job ended, whatever prevented it."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from temporalio.client import Client

from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import RecordFailureInput
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Role
from stafett.domain.notification import NotificationJob
from stafett.exports.completion import ExportCompletion
from stafett.settings import Settings, WebhookSettings, require_setting
from stafett.temporal.client import start_job
from stafett.testing import ExportClient, Json, Tenant, wait_until
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reconciliation import Sweeper
from tests.support.webhook_receiver import WebhookReceiver, run_receiver

Sweep = Callable[[], Awaitable[int]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def maintenance_database(settings: Settings) -> Iterator[Database]:
    database = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
    yield database
    database.close()


@pytest.fixture
def sweep(temporal: Client, settings: Settings, org_id: str) -> Iterator[Sweep]:
    """Sweep this test's organisation; return the number of runs that were started for notifications."""
    sweeper = Sweeper(temporal, settings, org_id)

    async def sweep() -> int:
        return (await sweeper.sweep()).notifications_started

    yield sweep
    sweeper.close()


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with run_receiver(WebhookReceiver()) as receiver:
        yield receiver


@pytest.fixture
async def webhook(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, receiver: WebhookReceiver) -> None:
    """Add a webhook to the organisation."""
    headers = bearer(tenant.users[Role.ADMIN], role="admin")
    (await api_client.post("/api/v1/webhooks", json={"url": receiver.url}, headers=headers)).raise_for_status()


@pytest.fixture
async def ended_export(export_client: ExportClient, worker_database: Database, webhook: None) -> str:  # noqa: ARG001 - the webhook must exist before the export ends
    """An export whose worker committed the outcome and died before it sent notifications."""
    export_id = await export_client.start_export()
    with worker_database.transaction(export_client.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failure = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="The export failed.", retryable=True)
    ExportCompletion(worker_database).fail(failure)
    return export_id


async def fetch_delivery(export_client: ExportClient) -> Json:
    response = await export_client.http_client.get("/api/v1/notifications", headers=export_client.headers)
    delivery: Json = response.raise_for_status().json()["items"][0]["deliveries"][0]
    return delivery


async def wait_for_final_delivery(export_client: ExportClient) -> Json:
    return await wait_until(
        partial(fetch_delivery, export_client), lambda delivery: delivery["state"] in {"delivered", "given_up"}
    )


async def test_undelivered_notification_is_sent_once(
    export_client: ExportClient,
    ended_export: str,
    sweep: Sweep,
    receiver: WebhookReceiver,
    run_worker: RunWorker,
) -> None:
    assert await sweep() == 1
    async with run_worker():
        assert (await wait_for_final_delivery(export_client))["state"] == "delivered"
    assert ended_export in receiver.requests[0].body.decode()
    assert await sweep() == 0
    assert len(receiver.requests) == 1


async def test_running_notification_workflow_is_not_restarted(
    ended_export: str, sweep: Sweep, temporal: Client
) -> None:
    assert await sweep() == 1
    before = await temporal.get_workflow_handle(f"notify/{ended_export}/1").describe()
    assert await sweep() == 0
    assert (await temporal.get_workflow_handle(f"notify/{ended_export}/1").describe()).run_id == before.run_id


async def test_delivery_of_a_terminated_notification_workflow_is_given_up(
    export_client: ExportClient,
    ended_export: str,
    sweep: Sweep,
    temporal: Client,
    receiver: WebhookReceiver,
) -> None:
    assert await sweep() == 1
    await temporal.get_workflow_handle(f"notify/{ended_export}/1").terminate()
    assert await sweep() == 0
    assert (await fetch_delivery(export_client))["last_error"] == "ended_from_outside"
    assert (await fetch_delivery(export_client))["state"] == "given_up"
    assert await sweep() == 0
    assert receiver.requests == []


async def test_second_notification_run_sends_nothing_again(
    export_client: ExportClient,
    ended_export: str,
    sweep: Sweep,
    temporal: Client,
    settings: Settings,
    receiver: WebhookReceiver,
    run_worker: RunWorker,
) -> None:
    """Temporal may have deleted the first run by then; PostgreSQL still has the delivery."""
    await sweep()
    async with run_worker():
        await wait_for_final_delivery(export_client)
        job = NotificationJob(org_id=export_client.org_id, subject_id=UUID(ended_export))
        await (await start_job(temporal, job, settings.temporal.task_queue)).result()
    assert len(receiver.requests) == 1


async def test_webhook_test_accepted_while_temporal_was_unavailable_is_sent(
    api_client: httpx.AsyncClient,
    tenant: Tenant,
    bearer: Bearer,
    sweep: Sweep,
    receiver: WebhookReceiver,
    owner_url: str,
    run_worker: RunWorker,
    webhook: None,  # noqa: ARG001 - the webhook must exist before the test
) -> None:
    headers, delivery_id = bearer(tenant.users[Role.ADMIN], role="admin"), uuid4()
    webhook_id = (await api_client.get("/api/v1/webhooks", headers=headers)).json()["items"][0]["id"]
    with psycopg.connect(owner_url) as connection:  # as the API does, without starting a run
        connection.execute(
            "INSERT INTO deliveries (id, org_id, webhook_id, channel) VALUES (%s, %s, %s, 'webhook')",
            [delivery_id, tenant.org_id, webhook_id],
        )
    assert await sweep() == 1

    async def count_requests() -> int:
        return len(receiver.requests)

    async with run_worker():
        await wait_until(count_requests, bool)
    assert receiver.requests[0].headers["webhook-id"] == str(delivery_id)


async def test_job_ended_by_the_sweeper_is_notified_in_the_same_sweep(
    export_client: ExportClient,
    temporal: Client,
    maintenance_database: Database,
    sweep: Sweep,
    webhook: None,
) -> None:
    del webhook
    export_id = await export_client.start_export()
    with maintenance_database.transaction(export_client.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failure = RecordFailureInput(
        job=job, code=ExportErrorCode.INTERNAL, message="The export was stopped.", retryable=True
    )
    ExportCompletion(maintenance_database, actor="system:sweeper").fail(failure)
    assert await sweep() == 1
    description = await temporal.get_workflow_handle(f"notify/{export_id}/1").describe()
    assert description.workflow_type == "SendNotifications"
