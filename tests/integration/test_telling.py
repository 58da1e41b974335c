"""From an export's end to whoever is told of it: a real mail server, a real receiver, the real pipeline."""

import base64
import email
import email.policy
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio
from temporalio.client import Client

import worker
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.devstack.mail_server import MailFolder, run_mail_server
from stafett.domain.export_job import RecordFailureInput
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Role
from stafett.domain.notification import NotificationJob
from stafett.exports.completion import ExportCompletion
from stafett.settings import MailSettings, Settings, WebhookSettings
from stafett.temporal.client import start_job
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, wait_until
from tests.receiver import Receiver, Taken, receiving

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def mail(tmp_path: Path) -> MailFolder:
    return MailFolder(tmp_path / "mail")


@pytest_asyncio.fixture(loop_scope="session")
async def settings(settings: Settings, mail: MailFolder) -> AsyncIterator[Settings]:
    """As the development stack has them."""
    usual = {"host": "127.0.0.1", "tls": "none", "sender": "s@stafett.example", "public_url": "https://s.example"}
    async with run_mail_server(mail, 0) as port:
        letters = MailSettings.model_validate(usual | {"port": port})
        webhooks = WebhookSettings(allow_private_networks=True)
        yield settings.model_copy(update={"mail": letters, "webhooks": webhooks})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as receiver:
        yield receiver


class Admin:
    """Looks after the organisation's webhooks."""

    def __init__(self, gateway: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._gateway = gateway
        self._headers = headers

    async def add(self, url: str) -> Json:
        answer = await self._gateway.post("/api/v1/webhooks", json={"url": url}, headers=self._headers)
        added: Json = answer.raise_for_status().json()
        return added

    async def look(self, webhook_id: str) -> Json:
        answer = await self._gateway.get(f"/api/v1/webhooks/{webhook_id}", headers=self._headers)
        webhook: Json = answer.raise_for_status().json()
        return webhook

    async def remove(self, webhook_id: str) -> None:
        (await self._gateway.delete(f"/api/v1/webhooks/{webhook_id}", headers=self._headers)).raise_for_status()

    async def call(self, webhook_id: str, verb: str) -> Json:
        answer = await self._gateway.post(f"/api/v1/webhooks/{webhook_id}/{verb}", headers=self._headers)
        webhook: Json = answer.raise_for_status().json()
        return webhook

    async def tested(self, webhook_id: str) -> None:
        """Once the test has arrived."""
        delivery = await self.test(webhook_id)

        async def arrived() -> set[str]:
            made = (await self.look(webhook_id))["deliveries"]
            return {one["id"] for one in made if one["state"] == "delivered"}

        await wait_until(arrived, lambda seen: delivery["id"] in seen)

    async def test(self, webhook_id: str) -> Json:
        answer = await self._gateway.post(f"/api/v1/webhooks/{webhook_id}/test", headers=self._headers)
        assert answer.status_code == 202
        delivery: Json = answer.json()
        return delivery


@pytest.fixture
def admin(gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> Admin:
    return Admin(gateway, bearer(tenant.users[Role.ADMIN], role="admin"))


async def notifications(button: ExportClient) -> list[Json]:
    answer = await button.http_client.get("/api/v1/notifications", headers=button.headers)
    found: list[Json] = answer.raise_for_status().json()["items"]
    return found


async def told(button: ExportClient, **states: str) -> Json:
    """The newest notification once its deliveries stand so."""

    async def deliveries() -> dict[str, str]:
        return {made["channel"]: made["state"] for made in (await notifications(button))[0]["deliveries"]}

    await wait_until(deliveries, lambda seen: seen == states)
    return (await notifications(button))[0]


def read(letter: Path) -> EmailMessage:
    return email.message_from_bytes(letter.read_bytes(), policy=email.policy.default)


async def ended(button: ExportClient, working: Working, **asked: Any) -> Json:
    export_id = await button.start_export(**asked)
    async with working():
        return await button.wait_for_completion(export_id)


async def test_the_end_of_an_export_is_recorded_written_and_called_out(
    button: ExportClient,
    admin: Admin,
    receiver: Receiver,
    mail: MailFolder,
    tenant: Tenant,
    diary: ActivityFactory,
    working: Working,
) -> None:
    diary.create_activity(diary.create_mentor("Kari Nordmann"), note="hemmelig")
    webhook = await admin.add(receiver.url)
    export_id = await button.start_export(locale="nn")
    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "completed"
        notification = await told(button, email="delivered", webhook="delivered")

    assert notification["kind"] == "export_ended"
    assert notification["subject"] == {"kind": "export", "id": export_id}
    assert (notification["status"], notification["attempt"], notification["read_at"]) == ("completed", 1, None)
    assert [(made["attempts"], made["last_error"]) for made in notification["deliveries"]] == [(1, None), (1, None)]
    (letter,) = mail.list_emails()
    assert read(letter)["To"] == f"coordinator@{tenant.org_id}.example"
    assert f"https://s.example/api/v1/bufdir-exports/{export_id}" in read(letter).get_content()
    assert "er klar til å lastast ned" in read(letter).get_content()
    assert not [word for word in ("Nordmann", "hemmelig", "Tromsø") if word in letter.read_text()]
    (taken,) = receiver.taken
    data = {"export_id": export_id, "org_id": tenant.org_id, "attempt": 1, "status": "completed"}
    assert json.loads(taken.body) == {
        "type": "export.completed",
        "timestamp": notification["created_at"],
        "data": data,
    }
    assert taken.headers["webhook-signature"] == signature_of(taken, webhook["secret"])


def signature_of(taken: Taken, secret: str) -> str:
    """As a receiver makes it."""
    signed = b".".join([taken.headers["webhook-id"].encode(), taken.headers["webhook-timestamp"].encode(), taken.body])
    made = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(made).decode()}"


async def test_for_a_day_after_it_was_changed_the_former_secret_signs_along(
    admin: Admin, receiver: Receiver, working: Working, owner_url: str
) -> None:
    webhook = await admin.add(receiver.url)
    changed = await admin.call(webhook["id"], "rotate-secret")
    async with working():
        await admin.tested(webhook["id"])
        with psycopg.connect(owner_url) as connection:
            its_day_is_over = "UPDATE webhook_secrets SET former_until = now() WHERE webhook_id = %s"
            connection.execute(its_day_is_over, [webhook["id"]])
        await admin.tested(webhook["id"])
    first, second = receiver.taken
    both = [signature_of(first, secret) for secret in (changed["secret"], webhook["secret"])]
    assert first.headers["webhook-signature"] == " ".join(both)
    assert second.headers["webhook-signature"] == signature_of(second, changed["secret"])


async def test_a_receiver_that_is_back_is_told_again_once_its_webhook_is_enabled(
    button: ExportClient, admin: Admin, receiver: Receiver, working: Working
) -> None:
    receiver.answers = [410, 204]
    webhook = await admin.add(receiver.url)
    first = await button.start_export()
    async with working():
        await button.wait_for_completion(first)
        await told(button, email="delivered", webhook="given_up")
        assert (await admin.call(webhook["id"], "enable"))["status"] == "active"
        second = await button.start_export()
        await button.wait_for_completion(second)
        await told(button, email="delivered", webhook="delivered")
    assert [json.loads(taken.body)["data"]["export_id"] for taken in receiver.taken] == [first, second]


async def test_neither_address_nor_secret_passes_through_the_engine_or_a_log(
    button: ExportClient,
    admin: Admin,
    receiver: Receiver,
    tenant: Tenant,
    diary: ActivityFactory,
    temporal: Client,
    working: Working,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Also when a receiver refuses, and says why."""
    diary.create_activity(diary.create_mentor())
    receiver.answers = [500]
    webhook = await admin.add(receiver.url)
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
        await told(button, email="delivered", webhook="failed")
    histories = [
        (await temporal.get_workflow_handle(workflow_id).fetch_history()).to_json()
        for workflow_id in (f"bufdir-export/{export_id}", f"notify/{export_id}/1")
    ]
    written = " ".join([*map(_decoded, histories), caplog.text, *capfd.readouterr()])
    assert "find_deliveries" in written
    private = (f"@{tenant.org_id}", webhook["secret"], webhook["secret"][6:20], "/hook?of=stafett", "Prøve")
    assert [word for word in private if word in written] == []


async def test_a_message_that_was_refused_comes_again_as_the_same_message(
    button: ExportClient, admin: Admin, receiver: Receiver, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    receiver.answers, receiver.headers = [503, 200], {"Retry-After": "1"}
    webhook = await admin.add(receiver.url)
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
        await told(button, email="delivered", webhook="delivered")
    first, second = receiver.taken
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    (delivery,) = (await admin.look(webhook["id"]))["deliveries"]
    assert (delivery["id"], delivery["attempts"]) == (first.headers["webhook-id"], 2)
    assert (delivery["state"], delivery["last_error"]) == ("delivered", None)


async def test_a_dead_receiver_holds_up_neither_the_export_nor_the_letter_and_shows(
    button: ExportClient, admin: Admin, receiver: Receiver, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    await admin.add("http://127.0.0.1:9/nobody")
    await admin.add(receiver.url)
    export_id = await button.start_export()

    async def states() -> list[tuple[str, str, int, str | None]]:
        made = (await notifications(button))[0]["deliveries"]
        return sorted((one["channel"], one["state"], one["attempts"], one["last_error"]) for one in made)

    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "completed"
        settled = [("email", "delivered", 1, None), ("webhook", "delivered", 1, None)]
        await wait_until(states, lambda seen: seen == [*settled, ("webhook", "failed", 1, "unreachable")])


async def test_a_receiver_that_is_gone_for_good_is_told_nothing_more(
    button: ExportClient, admin: Admin, receiver: Receiver, working: Working, owner_url: str
) -> None:
    receiver.answers = [410]
    webhook = await admin.add(receiver.url)
    first = await button.start_export()
    async with working():
        await button.wait_for_completion(first)
        await told(button, email="delivered", webhook="given_up")
        shown = await admin.look(webhook["id"])
        await button.wait_for_completion(await button.start_export())
        newest = await told(button, email="delivered")
    assert shown["status"] == "disabled"
    assert shown["deliveries"][0]["last_error"] == "http_410"
    assert newest["subject"]["id"] != first
    assert len(receiver.taken) == 1
    with psycopg.connect(owner_url) as connection:
        asked = "SELECT actor FROM audit_events WHERE subject_id = %s AND event = 'webhook_disabled'"
        assert connection.execute(asked, [webhook["id"]]).fetchall() == [("system:worker",)]


@pytest.mark.parametrize(
    ("asked", "status"), [({"fail_on_empty": True}, "failed"), ({"fail_on_empty": False}, "completed_empty")]
)
async def test_an_export_without_a_file_is_told_of_too(
    button: ExportClient, admin: Admin, receiver: Receiver, mail: MailFolder, working: Working, asked: Json, status: str
) -> None:
    await admin.add(receiver.url)
    export_id = await button.start_export(**asked)
    async with working():
        await button.wait_for_completion(export_id)
        assert (await told(button, email="delivered", webhook="delivered"))["status"] == status
    assert json.loads(receiver.taken[0].body)["type"] == f"export.{status}"
    assert len(mail.list_emails()) == 1


async def test_without_a_mail_server_there_is_the_record_alone(
    button: ExportClient, temporal: Client, settings: Settings
) -> None:
    without = partial(worker.run_queue_workers, temporal, settings.model_copy(update={"mail": MailSettings()}))
    await ended(button, without)
    (notification,) = await notifications(button)
    assert (notification["status"], notification["deliveries"]) == ("completed_empty", [])


async def test_what_a_development_stack_let_in_a_production_worker_does_not_call(
    admin: Admin, receiver: Receiver, temporal: Client, settings: Settings
) -> None:
    webhook = await admin.add(f"https://127.0.0.1:{receiver.port}/")
    production = settings.model_copy(update={"webhooks": WebhookSettings()})
    async with worker.run_queue_workers(temporal, production):
        await admin.test(webhook["id"])

        async def error() -> str | None:
            found: str | None = (await admin.look(webhook["id"]))["deliveries"][0]["last_error"]
            return found

        await wait_until(error, lambda code: code == "address_not_public")
    assert receiver.taken == []


async def test_a_test_is_a_message_of_its_own(
    admin: Admin, receiver: Receiver, tenant: Tenant, working: Working
) -> None:
    webhook = await admin.add(receiver.url)
    delivery = await admin.test(webhook["id"])
    assert (delivery["state"], delivery["notification_id"]) == ("pending", None)

    async def state() -> str:
        return str((await admin.look(webhook["id"]))["deliveries"][0]["state"])

    async with working():
        await wait_until(state, lambda seen: seen == "delivered")
    (taken,) = receiver.taken
    said = json.loads(taken.body)
    assert (said["type"], taken.headers["webhook-id"]) == ("webhook.test", delivery["id"])
    assert said["data"] == {"webhook_id": webhook["id"], "org_id": tenant.org_id}


async def test_a_webhook_that_was_removed_is_told_nothing_that_was_waiting(
    button: ExportClient,
    admin: Admin,
    receiver: Receiver,
    working: Working,
    worker_database: Database,
    temporal: Client,
    settings: Settings,
) -> None:
    webhook = await admin.add(receiver.url)
    export_id = await _fail(button, worker_database)
    await admin.remove(webhook["id"])
    assert [made["state"] for made in (await notifications(button))[0]["deliveries"]] == ["pending"]
    async with working():
        telling = NotificationJob(org_id=button.org_id, subject_id=UUID(export_id))
        await (await start_job(temporal, telling, settings.temporal.task_queue)).result()
        notification = await told(button, webhook="given_up")
    assert notification["deliveries"][0]["last_error"] == "webhook_removed"
    assert receiver.taken == []


async def test_somebody_who_has_left_is_not_written_to(
    button: ExportClient, tenant: Tenant, mail: MailFolder, owner_url: str, working: Working, bearer: Bearer
) -> None:
    export_id = await button.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    button.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")

    async def state() -> Any:
        with psycopg.connect(owner_url) as connection:
            asked = "SELECT state, last_error FROM deliveries WHERE org_id = %s"
            return connection.execute(asked, [tenant.org_id]).fetchone()

    async with working():
        assert (await button.wait_for_completion(export_id))["error"]["code"] == "permission_denied"
        await wait_until(state, lambda row: row == ("given_up", "recipient_left"))
    assert mail.list_emails() == []


async def test_an_end_is_announced_once_and_only_with_the_end_itself(
    button: ExportClient, worker_database: Database
) -> None:
    export_id = await _fail(button, worker_database)
    assert [one["subject"]["id"] for one in await notifications(button)] == [export_id]
    await _fail(button, worker_database, export_id)
    assert len(await notifications(button)) == 1


async def _fail(button: ExportClient, database: Database, export_id: str | None = None) -> str:
    """An export that a worker ends, and dies before it has told anybody."""
    export_id = export_id or await button.start_export()
    with database.transaction(button.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failing = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="It could not go on.", retryable=True)
    ExportCompletion(database).fail(failing)
    return export_id


def _decoded(history: str) -> str:
    """A history with its payloads in the clear."""
    return re.sub(r'"data": "([^"]*)"', lambda found: base64.b64decode(found[1]).decode(), history)
