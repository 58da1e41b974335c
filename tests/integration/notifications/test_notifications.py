"""Emails and webhooks after an export, with a real mail server, a real webhook receiver and real workers."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
from standardwebhooks import Webhook
from temporalio.client import Client

import worker
from api.schemas.webhook_messages import ExportEndedMessage
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.devstack.mail_server import MailFolder, run_mail_server
from stafett.domain.export_job import RecordFailureInput
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.file_versions import name_version
from stafett.domain.membership import Role
from stafett.domain.notification import NotificationJob
from stafett.exports.completion import ExportCompletion
from stafett.settings import MailSettings, Settings, WebhookSettings
from stafett.temporal.client import start_job
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, wait_until
from tests.support.bulk import BulkClient
from tests.support.emails import parse_email, read_body
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexports import ReexportClient
from tests.support.webhook_receiver import ReceivedRequest, WebhookReceiver, run_receiver


@pytest.fixture
def mail(tmp_path: Path) -> MailFolder:
    return MailFolder(tmp_path / "mail")


@pytest_asyncio.fixture(loop_scope="session")
async def settings(settings: Settings, mail: MailFolder) -> AsyncIterator[Settings]:
    """Email and webhook settings as in the development stack."""
    defaults = {"host": "127.0.0.1", "tls": "none", "sender": "s@stafett.example", "public_url": "https://s.example"}
    async with run_mail_server(mail, 0) as port:
        mail_settings = MailSettings.model_validate(defaults | {"port": port})
        webhooks = WebhookSettings(allow_private_networks=True)
        yield settings.model_copy(update={"mail": mail_settings, "webhooks": webhooks})


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with run_receiver(WebhookReceiver()) as receiver:
        yield receiver


class WebhookAdmin:
    """Manages the organisation's webhooks through the API."""

    def __init__(self, api_client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._api_client = api_client
        self._headers = headers

    async def add(self, url: str) -> Json:
        response = await self._api_client.post("/api/v1/webhooks", json={"url": url}, headers=self._headers)
        webhook: Json = response.raise_for_status().json()
        return webhook

    async def get(self, webhook_id: str) -> Json:
        response = await self._api_client.get(f"/api/v1/webhooks/{webhook_id}", headers=self._headers)
        webhook: Json = response.raise_for_status().json()
        return webhook

    async def remove(self, webhook_id: str) -> None:
        (await self._api_client.delete(f"/api/v1/webhooks/{webhook_id}", headers=self._headers)).raise_for_status()

    async def run_command(self, webhook_id: str, command: str) -> Json:
        response = await self._api_client.post(f"/api/v1/webhooks/{webhook_id}/{command}", headers=self._headers)
        webhook: Json = response.raise_for_status().json()
        return webhook

    async def send_test_and_wait(self, webhook_id: str) -> None:
        delivery = await self.send_test(webhook_id)

        async def find_delivered() -> set[str]:
            deliveries = (await self.get(webhook_id))["deliveries"]
            return {row["id"] for row in deliveries if row["state"] == "delivered"}

        await wait_until(find_delivered, lambda delivered: delivery["id"] in delivered)

    async def send_test(self, webhook_id: str) -> Json:
        response = await self._api_client.post(f"/api/v1/webhooks/{webhook_id}/test", headers=self._headers)
        assert response.status_code == 202
        delivery: Json = response.json()
        return delivery


@pytest.fixture
def admin(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> WebhookAdmin:
    return WebhookAdmin(api_client, bearer(tenant.users[Role.ADMIN], role="admin"))


async def fetch_notifications(export_client: ExportClient) -> list[Json]:
    response = await export_client.http_client.get("/api/v1/notifications", headers=export_client.headers)
    items: list[Json] = response.raise_for_status().json()["items"]
    return items


async def wait_for_deliveries(export_client: ExportClient, **expected: str) -> Json:
    """Return the newest notification once the states of its deliveries are as expected, by channel."""

    async def fetch_states() -> dict[str, str]:
        deliveries = (await fetch_notifications(export_client))[0]["deliveries"]
        return {delivery["channel"]: delivery["state"] for delivery in deliveries}

    await wait_until(fetch_states, lambda states: states == expected)
    return (await fetch_notifications(export_client))[0]


async def run_export(export_client: ExportClient, run_worker: RunWorker, **fields: Any) -> Json:
    export_id = await export_client.start_export(**fields)
    async with run_worker():
        return await export_client.wait_for_completion(export_id)


async def test_completed_export_is_notified_in_the_api_by_email_and_by_webhook(
    export_client: ExportClient,
    admin: WebhookAdmin,
    receiver: WebhookReceiver,
    mail: MailFolder,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor("Kari Nordmann"), note="hemmelig")
    webhook = await admin.add(receiver.url)
    export_id = await export_client.start_export(locale="nn")
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed"
        notification = await wait_for_deliveries(export_client, email="delivered", webhook="delivered")

    assert notification["kind"] == "export_ended"
    assert notification["subject"] == {"kind": "export", "id": export_id}
    assert (notification["status"], notification["attempt"], notification["read_at"]) == ("completed", 1, None)
    assert [(row["attempts"], row["last_error"]) for row in notification["deliveries"]] == [(1, None), (1, None)]
    (email_path,) = mail.list_emails()
    message = parse_email(email_path)
    assert message["To"] == f"coordinator@{tenant.org_id}.example"
    for body in (read_body(message), read_body(message, "html")):
        assert f"https://s.example/console/exports/{export_id}" in body
        assert "er klar til å lastast ned" in body
        assert not [word for word in ("Nordmann", "hemmelig", "Tromsø") if word in body]
    assert "\nRader i fila: 1\n" in read_body(message)
    (request,) = receiver.requests
    data = {"export_id": export_id, "org_id": tenant.org_id, "attempt": 1, "status": "completed"}
    assert json.loads(request.body) == {
        "type": "export.completed",
        "timestamp": notification["created_at"],
        "data": data,
    }
    assert request.headers["webhook-signature"] == sign_request(request, webhook["secret"])
    message = Webhook(webhook["secret"]).verify(request.body, dict(request.headers))
    assert ExportEndedMessage.model_validate(message).data.export_id == UUID(export_id)


def sign_request(request: ReceivedRequest, secret: str) -> str:
    """Calculate the expected signature as a receiver would."""
    signed = b".".join(
        [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body]
    )
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


async def test_previous_secret_also_signs_until_it_expires_after_a_rotation(
    admin: WebhookAdmin, receiver: WebhookReceiver, run_worker: RunWorker, owner_url: str
) -> None:
    webhook = await admin.add(receiver.url)
    rotated = await admin.run_command(webhook["id"], "rotate-secret")
    async with run_worker():
        await admin.send_test_and_wait(webhook["id"])
        with psycopg.connect(owner_url) as connection:
            statement = "UPDATE webhook_secrets SET previous_expires_at = now() WHERE webhook_id = %s"
            connection.execute(statement, [webhook["id"]])
        await admin.send_test_and_wait(webhook["id"])
    first, second = receiver.requests
    signatures = [sign_request(first, secret) for secret in (rotated["secret"], webhook["secret"])]
    assert first.headers["webhook-signature"] == " ".join(signatures)
    assert second.headers["webhook-signature"] == sign_request(second, rotated["secret"])


async def test_enabled_webhook_receives_deliveries_again(
    export_client: ExportClient, admin: WebhookAdmin, receiver: WebhookReceiver, run_worker: RunWorker
) -> None:
    receiver.statuses = [410, 204]
    webhook = await admin.add(receiver.url)
    first = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(first)
        await wait_for_deliveries(export_client, email="delivered", webhook="given_up")
        assert (await admin.run_command(webhook["id"], "enable"))["status"] == "active"
        second = await export_client.start_export()
        await export_client.wait_for_completion(second)
        await wait_for_deliveries(export_client, email="delivered", webhook="delivered")
    assert [json.loads(request.body)["data"]["export_id"] for request in receiver.requests] == [first, second]


async def test_addresses_and_secrets_are_not_in_temporal_histories_or_logs(
    export_client: ExportClient,
    admin: WebhookAdmin,
    receiver: WebhookReceiver,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    temporal: Client,
    run_worker: RunWorker,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The receiver rejects the message, because errors are logged as well."""
    activity_factory.create_activity(activity_factory.create_mentor())
    receiver.statuses = [500]
    webhook = await admin.add(receiver.url)
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
        await wait_for_deliveries(export_client, email="delivered", webhook="failed")
    histories = [
        (await temporal.get_workflow_handle(workflow_id).fetch_history()).to_json()
        for workflow_id in (f"bufdir-export/{export_id}", f"notify/{export_id}/1")
    ]
    text = " ".join([*map(_decode_payloads, histories), caplog.text, *capfd.readouterr()])
    assert "find_deliveries" in text
    private = (f"@{tenant.org_id}", webhook["secret"], webhook["secret"][6:20], "/hook?of=stafett", "Prøve")
    assert [word for word in private if word in text] == []


async def test_retried_message_has_the_same_id_and_body(
    export_client: ExportClient,
    admin: WebhookAdmin,
    receiver: WebhookReceiver,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    receiver.statuses, receiver.response_headers = [503, 200], {"Retry-After": "1"}
    webhook = await admin.add(receiver.url)
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
        await wait_for_deliveries(export_client, email="delivered", webhook="delivered")
    first, second = receiver.requests
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    (delivery,) = (await admin.get(webhook["id"]))["deliveries"]
    assert (delivery["id"], delivery["attempts"]) == (first.headers["webhook-id"], 2)
    assert (delivery["state"], delivery["last_error"]) == ("delivered", None)


async def test_unreachable_receiver_delays_neither_the_export_nor_other_deliveries(
    export_client: ExportClient,
    admin: WebhookAdmin,
    receiver: WebhookReceiver,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await admin.add("http://127.0.0.1:9/unreachable")
    await admin.add(receiver.url)
    export_id = await export_client.start_export()

    async def fetch_states() -> list[tuple[str, str, int, str | None]]:
        deliveries = (await fetch_notifications(export_client))[0]["deliveries"]
        return sorted((row["channel"], row["state"], row["attempts"], row["last_error"]) for row in deliveries)

    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed"
        delivered = [("email", "delivered", 1, None), ("webhook", "delivered", 1, None)]
        await wait_until(fetch_states, lambda states: states == [*delivered, ("webhook", "failed", 1, "unreachable")])


async def test_status_410_disables_the_webhook(
    export_client: ExportClient, admin: WebhookAdmin, receiver: WebhookReceiver, run_worker: RunWorker, owner_url: str
) -> None:
    receiver.statuses = [410]
    webhook = await admin.add(receiver.url)
    first = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(first)
        await wait_for_deliveries(export_client, email="delivered", webhook="given_up")
        disabled = await admin.get(webhook["id"])
        await export_client.wait_for_completion(await export_client.start_export())
        newest = await wait_for_deliveries(export_client, email="delivered")
    assert disabled["status"] == "disabled"
    assert disabled["deliveries"][0]["last_error"] == "http_410"
    assert newest["subject"]["id"] != first
    assert len(receiver.requests) == 1
    with psycopg.connect(owner_url) as connection:
        query = "SELECT actor FROM audit_events WHERE subject_id = %s AND event = 'webhook_disabled'"
        assert connection.execute(query, [webhook["id"]]).fetchall() == [("system:worker",)]


@pytest.mark.parametrize(
    ("fields", "status"), [({"fail_on_empty": True}, "failed"), ({"fail_on_empty": False}, "completed_empty")]
)
async def test_export_without_a_file_is_notified_too(
    export_client: ExportClient,
    admin: WebhookAdmin,
    receiver: WebhookReceiver,
    mail: MailFolder,
    run_worker: RunWorker,
    fields: Json,
    status: str,
) -> None:
    await admin.add(receiver.url)
    export_id = await export_client.start_export(**fields)
    async with run_worker():
        await export_client.wait_for_completion(export_id)
        assert (await wait_for_deliveries(export_client, email="delivered", webhook="delivered"))["status"] == status
    assert json.loads(receiver.requests[0].body)["type"] == f"export.{status}"
    assert len(mail.list_emails()) == 1


async def test_emails_of_a_new_version_and_of_a_batch_have_their_results(
    export_client: ExportClient,
    mail: MailFolder,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    owner_url: str,
) -> None:
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE users SET language = 'en' WHERE id = %s", [tenant.coordinator])
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    reexports = ReexportClient(export_client)
    batches = BulkClient(export_client.http_client, tenant.org_id, export_client.headers)
    async with run_worker():
        report_id = await reexports.create_report()
        version = await reexports.complete_reexport(report_id, source="same_snapshot")
        batch = await batches.start_batch([mentor, uuid4()])
        emails = await wait_until(partial(asyncio.to_thread, mail.list_emails), lambda paths: len(paths) == 3)
    bodies = [read_body(parse_email(path)) for path in emails]
    (of_version,) = [body for body in bodies if f"/console/reexports/{version['id']}\n" in body]
    assert "\nVersion: 2\nRows in the file: 1\n" in of_version
    assert f"\nFile: {name_version(version['file']['name'], 2)}\n" in of_version
    (of_batch,) = [body for body in bodies if f"/console/bulk/{batch['id']}\n" in body]
    assert "\nPeer mentors: 2\nRegistered: 1\nFailed: 1\n" in of_batch
    assert "\n- 1 \N{EN DASH} The organisation has no such peer mentor.\n" in of_batch


async def test_notification_without_mail_server_has_no_deliveries(
    export_client: ExportClient, temporal: Client, settings: Settings
) -> None:
    run_worker_without_mail = partial(
        worker.run_queue_workers, temporal, settings.model_copy(update={"mail": MailSettings()})
    )
    await run_export(export_client, run_worker_without_mail)
    (notification,) = await fetch_notifications(export_client)
    assert (notification["status"], notification["deliveries"]) == ("completed_empty", [])


async def test_production_worker_rejects_a_webhook_with_a_private_address(
    admin: WebhookAdmin, receiver: WebhookReceiver, temporal: Client, settings: Settings
) -> None:
    webhook = await admin.add(f"https://127.0.0.1:{receiver.port}/")
    production = settings.model_copy(update={"webhooks": WebhookSettings()})
    async with worker.run_queue_workers(temporal, production):
        await admin.send_test(webhook["id"])

        async def fetch_error() -> str | None:
            error: str | None = (await admin.get(webhook["id"]))["deliveries"][0]["last_error"]
            return error

        await wait_until(fetch_error, lambda error: error == "address_not_public")
    assert receiver.requests == []


async def test_webhook_test_sends_a_separate_message(
    admin: WebhookAdmin, receiver: WebhookReceiver, tenant: Tenant, run_worker: RunWorker
) -> None:
    webhook = await admin.add(receiver.url)
    delivery = await admin.send_test(webhook["id"])
    assert (delivery["state"], delivery["notification_id"]) == ("pending", None)

    async def fetch_state() -> str:
        return str((await admin.get(webhook["id"]))["deliveries"][0]["state"])

    async with run_worker():
        await wait_until(fetch_state, lambda state: state == "delivered")
    (request,) = receiver.requests
    body = json.loads(request.body)
    assert (body["type"], request.headers["webhook-id"]) == ("webhook.test", delivery["id"])
    assert body["data"] == {"webhook_id": webhook["id"], "org_id": tenant.org_id}


async def test_pending_delivery_of_a_deleted_webhook_is_given_up(
    export_client: ExportClient,
    admin: WebhookAdmin,
    receiver: WebhookReceiver,
    run_worker: RunWorker,
    worker_database: Database,
    temporal: Client,
    settings: Settings,
) -> None:
    webhook = await admin.add(receiver.url)
    export_id = await fail_export(export_client, worker_database)
    await admin.remove(webhook["id"])
    assert [row["state"] for row in (await fetch_notifications(export_client))[0]["deliveries"]] == ["pending"]
    async with run_worker():
        job = NotificationJob(org_id=export_client.org_id, subject_id=UUID(export_id))
        await (await start_job(temporal, job, settings.temporal.task_queue)).result()
        notification = await wait_for_deliveries(export_client, webhook="given_up")
    assert notification["deliveries"][0]["last_error"] == "webhook_removed"
    assert receiver.requests == []


async def test_user_without_membership_receives_no_email(
    export_client: ExportClient, tenant: Tenant, mail: MailFolder, owner_url: str, run_worker: RunWorker, bearer: Bearer
) -> None:
    export_id = await export_client.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    export_client.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")

    async def fetch_state() -> Any:
        with psycopg.connect(owner_url) as connection:
            query = "SELECT state, last_error FROM deliveries WHERE org_id = %s"
            return connection.execute(query, [tenant.org_id]).fetchone()

    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["error"]["code"] == "permission_denied"
        await wait_until(fetch_state, lambda row: row == ("given_up", "recipient_left"))
    assert mail.list_emails() == []


async def test_notification_is_recorded_once_together_with_the_outcome(
    export_client: ExportClient, worker_database: Database
) -> None:
    export_id = await fail_export(export_client, worker_database)
    assert [row["subject"]["id"] for row in await fetch_notifications(export_client)] == [export_id]
    await fail_export(export_client, worker_database, export_id)
    assert len(await fetch_notifications(export_client)) == 1


async def fail_export(export_client: ExportClient, database: Database, export_id: str | None = None) -> str:
    """Fail an export as a worker would that dies before it sends notifications."""
    export_id = export_id or await export_client.start_export()
    with database.transaction(export_client.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failure = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="The export failed.", retryable=True)
    ExportCompletion(database).fail(failure)
    return export_id


def _decode_payloads(history: str) -> str:
    """Replace the Base64 payloads of a history by their text."""
    return re.sub(r'"data": "([^"]*)"', lambda match: base64.b64decode(match[1]).decode(), history)
