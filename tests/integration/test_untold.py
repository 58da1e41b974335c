"""Nobody is left untold: whatever happened between an end and its telling, the sweeper finds it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from temporalio.client import Client

from activities.reconciliation import NotificationReconciler
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import RecordFailureInput
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Role
from stafett.domain.notification import NotificationJob
from stafett.exports.completion import ExportCompletion
from stafett.notifications.deliveries import DeliveryStore, find_undelivered
from stafett.settings import Settings, WebhookSettings, require_setting
from stafett.temporal.client import start_job
from stafett.testing import ExportClient, Json, Tenant, wait_until
from tests.receiver import Receiver, receiving

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def maintenance(settings: Settings) -> Iterator[Database]:
    database = Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
    yield database
    database.close()


@pytest.fixture
def sweep(temporal: Client, settings: Settings, maintenance: Database, org_id: str) -> NotificationReconciler:
    """As the worker has it, for one organisation alone: other tests have theirs."""

    def ours() -> list[NotificationJob]:
        return [telling for telling in find_undelivered(maintenance) if telling.org_id == org_id]

    return NotificationReconciler(temporal, settings.temporal.task_queue, ours, DeliveryStore(maintenance))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as receiver:
        yield receiver


@pytest.fixture
async def listened(gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, receiver: Receiver) -> None:
    """The organisation has a webhook."""
    headers = bearer(tenant.users[Role.ADMIN], role="admin")
    (await gateway.post("/api/v1/webhooks", json={"url": receiver.url}, headers=headers)).raise_for_status()


@pytest.fixture
async def ended(button: ExportClient, worker_database: Database, listened: None) -> str:  # noqa: ARG001 - before the end
    """An export whose worker has committed its end, and died before it told anybody."""
    export_id = await button.start_export()
    with worker_database.transaction(button.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failing = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="It could not go on.", retryable=True)
    ExportCompletion(worker_database).fail(failing)
    return export_id


async def delivery_of(button: ExportClient) -> Json:
    answer = await button.http_client.get("/api/v1/notifications", headers=button.headers)
    delivery: Json = answer.raise_for_status().json()["items"][0]["deliveries"][0]
    return delivery


async def settled(button: ExportClient) -> Json:
    return await wait_until(partial(delivery_of, button), lambda one: one["state"] in {"delivered", "given_up"})


async def test_an_end_that_nobody_told_of_is_told(
    button: ExportClient, ended: str, sweep: NotificationReconciler, receiver: Receiver, working: Working
) -> None:
    assert await sweep() == 1
    async with working():
        assert (await settled(button))["state"] == "delivered"
    assert ended in receiver.taken[0].body.decode()
    assert await sweep() == 0
    assert len(receiver.taken) == 1


async def test_a_telling_that_is_under_way_is_left_alone(
    ended: str, sweep: NotificationReconciler, temporal: Client
) -> None:
    assert await sweep() == 1
    run = await temporal.get_workflow_handle(f"notify/{ended}/1").describe()
    assert await sweep() == 0
    assert (await temporal.get_workflow_handle(f"notify/{ended}/1").describe()).run_id == run.run_id


async def test_what_an_ended_telling_has_left_is_given_up_and_not_begun_again(
    button: ExportClient, ended: str, sweep: NotificationReconciler, temporal: Client, receiver: Receiver
) -> None:
    assert await sweep() == 1
    await temporal.get_workflow_handle(f"notify/{ended}/1").terminate()
    assert await sweep() == 0
    assert (await delivery_of(button))["last_error"] == "ended_from_outside"
    assert (await delivery_of(button))["state"] == "given_up"
    assert await sweep() == 0
    assert receiver.taken == []


async def test_a_second_run_sends_nothing_a_second_time(
    button: ExportClient,
    ended: str,
    sweep: NotificationReconciler,
    temporal: Client,
    settings: Settings,
    receiver: Receiver,
    working: Working,
) -> None:
    """The engine may have forgotten the first one: what was delivered stands in PostgreSQL."""
    await sweep()
    async with working():
        await settled(button)
        telling = NotificationJob(org_id=button.org_id, subject_id=UUID(ended))
        await (await start_job(temporal, telling, settings.temporal.task_queue)).result()
    assert len(receiver.taken) == 1


async def test_a_test_that_was_accepted_while_temporal_was_away_is_sent(
    gateway: httpx.AsyncClient,
    tenant: Tenant,
    bearer: Bearer,
    sweep: NotificationReconciler,
    receiver: Receiver,
    owner_url: str,
    working: Working,
    listened: None,  # noqa: ARG001 - before the test
) -> None:
    headers, delivery_id = bearer(tenant.users[Role.ADMIN], role="admin"), uuid4()
    webhook = (await gateway.get("/api/v1/webhooks", headers=headers)).json()["items"][0]
    with psycopg.connect(owner_url) as connection:  # as the API does, without the start that comes after it
        connection.execute(
            "INSERT INTO deliveries (id, org_id, webhook_id, channel) VALUES (%s, %s, %s, 'webhook')",
            [delivery_id, tenant.org_id, webhook["id"]],
        )
    assert await sweep() == 1

    async def taken() -> int:
        return len(receiver.taken)

    async with working():
        await wait_until(taken, bool)
    assert receiver.taken[0].headers["webhook-id"] == str(delivery_id)


async def test_an_end_of_the_sweepers_own_is_told_in_the_same_sweep(
    button: ExportClient, temporal: Client, maintenance: Database, sweep: NotificationReconciler, listened: None
) -> None:
    del listened
    export_id = await button.start_export()
    with maintenance.transaction(button.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failing = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="It was ended.", retryable=True)
    ExportCompletion(maintenance, actor="system:sweeper").fail(failing)
    assert await sweep() == 1
    described = await temporal.get_workflow_handle(f"notify/{export_id}/1").describe()
    assert described.workflow_type == "SendNotifications"
