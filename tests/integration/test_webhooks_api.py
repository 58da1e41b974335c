"""``/webhooks`` and ``/notifications`` at the gateway: who may, what is refused, what is shown."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import text

from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import RecordFailureInput
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Role
from stafett.exports.completion import ExportCompletion
from stafett.settings import Settings, WebhookSettings
from stafett.testing import ExportClient, Json, Tenant, create_tenant
from stafett.webhooks.service import MAX_WEBHOOKS

Bearer = Callable[..., dict[str, str]]
HOOKS, NOTES = "/api/v1/webhooks", "/api/v1/notifications"
VERBS = ("test", "enable", "rotate-secret")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def admin(tenant: Tenant, bearer: Bearer) -> dict[str, str]:
    return bearer(tenant.users[Role.ADMIN], role="admin")


async def added(gateway: httpx.AsyncClient, headers: dict[str, str], **more: object) -> Json:
    body = {"url": "http://127.0.0.1:9/hook", **more}
    answer = await gateway.post(HOOKS, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    webhook: Json = answer.json()
    return webhook


async def test_a_secret_is_shown_once(
    gateway: httpx.AsyncClient, admin: dict[str, str], tenant: Tenant, owner_url: str
) -> None:
    answer = await gateway.post(
        HOOKS, json={"url": "https://127.0.0.1/hook", "description": "Vårt system"}, headers=admin
    )
    assert answer.status_code == 201
    webhook = answer.json()
    assert answer.headers["Location"] == f"{HOOKS}/{webhook['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (webhook["org_id"], webhook["description"], webhook["status"]) == (tenant.org_id, "Vårt system", "active")
    assert webhook["created_by"] == str(tenant.users[Role.ADMIN])
    for path in (HOOKS, f"{HOOKS}/{webhook['id']}"):
        shown = await gateway.get(path, headers=admin)
        assert shown.status_code == 200
        assert "whsec_" not in shown.text
    with psycopg.connect(owner_url) as connection:
        events = connection.execute(
            "SELECT event, detail FROM audit_events WHERE subject_id = %s", [webhook["id"]]
        ).fetchall()
    assert events == [("webhook_added", {})]


async def test_not_even_the_apis_own_role_can_read_a_secret(
    gateway: httpx.AsyncClient, admin: dict[str, str], api_database: Database, tenant: Tenant
) -> None:
    await added(gateway, admin)
    with api_database.transaction(tenant.org_id) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("SELECT secret FROM webhook_secrets"))


async def test_a_worker_learns_no_address_but_that_of_a_letter_it_is_to_send(
    button: ExportClient, worker_database: Database, tenant: Tenant, owner_url: str
) -> None:
    await notified(button, worker_database)
    with psycopg.connect(owner_url) as connection:
        (delivery,) = connection.execute(
            "INSERT INTO deliveries (id, org_id, notification_id, channel)"
            " SELECT gen_random_uuid(), org_id, id, 'email' FROM notifications WHERE org_id = %s RETURNING id",
            [tenant.org_id],
        ).fetchone() or (None,)
    asked, given = text("SELECT recipient_of(:delivery)"), {"delivery": delivery}
    with worker_database.transaction(tenant.org_id) as session:
        assert session.scalar(asked, given) == f"coordinator@{tenant.org_id}.example"
    with worker_database.transaction(create_tenant(owner_url).org_id) as session:
        assert session.scalar(asked, given) is None
    with worker_database.transaction(tenant.org_id) as session:
        session.execute(
            text("UPDATE deliveries SET state = 'delivered', settled_at = now() WHERE id = :delivery"), given
        )
        assert session.scalar(asked, given) is None
    with worker_database.transaction(tenant.org_id) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("SELECT email FROM users"))


async def test_a_delivery_that_is_settled_stays_as_it_is(
    gateway: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await added(gateway, admin)
    delivery = (await gateway.post(f"{HOOKS}/{webhook['id']}/test", headers=admin)).json()
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE deliveries SET state = 'given_up', settled_at = now() WHERE id = %s", [delivery["id"]]
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="stays as it is"):
            connection.execute(
                "UPDATE deliveries SET state = 'pending', settled_at = NULL WHERE id = %s", [delivery["id"]]
            )


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.AUDITOR])
async def test_only_an_admin_looks_after_webhooks(
    gateway: httpx.AsyncClient, admin: dict[str, str], tenant: Tenant, bearer: Bearer, role: Role
) -> None:
    webhook, headers = await added(gateway, admin), bearer(tenant.users[role], role=role)
    answers = await asyncio.gather(
        gateway.post(HOOKS, json={"url": "http://127.0.0.1:9/"}, headers=headers),
        gateway.get(HOOKS, headers=headers),
        gateway.get(f"{HOOKS}/{webhook['id']}", headers=headers),
        gateway.delete(f"{HOOKS}/{webhook['id']}", headers=headers),
        *(gateway.post(f"{HOOKS}/{webhook['id']}/{verb}", headers=headers) for verb in VERBS),
    )
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "permission_denied")] * 7


async def test_another_organisations_webhook_is_not_there(
    gateway: httpx.AsyncClient, admin: dict[str, str], bearer: Bearer, owner_url: str
) -> None:
    webhook, neighbour = await added(gateway, admin), create_tenant(owner_url)
    theirs = bearer(neighbour.users[Role.ADMIN], neighbour.org_id, "admin")
    for method, path in (("GET", ""), ("DELETE", ""), *(("POST", f"/{verb}") for verb in VERBS)):
        answer = await gateway.request(method, f"{HOOKS}/{webhook['id']}{path}", headers=theirs)
        assert answer.status_code == 404
    assert (await gateway.get(HOOKS, headers=theirs)).json()["items"] == []
    for_us = {"url": "http://127.0.0.1:9/", "org_id": webhook["org_id"]}
    assert (await gateway.post(HOOKS, json=for_us, headers=theirs)).status_code == 403


async def test_a_webhook_that_was_removed_is_gone_and_its_secret_with_it(
    gateway: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await added(gateway, admin)
    path = f"{HOOKS}/{webhook['id']}"
    assert (await gateway.delete(path, headers=admin)).status_code == 204
    for method, where in (("GET", path), ("DELETE", path), *(("POST", f"{path}/{verb}") for verb in VERBS)):
        assert (await gateway.request(method, where, headers=admin)).status_code == 404
    assert (await gateway.get(HOOKS, headers=admin)).json()["items"] == []
    with psycopg.connect(owner_url) as connection:
        kept = "SELECT FROM webhook_secrets WHERE webhook_id = %s"
        assert connection.execute(kept, [webhook["id"]]).fetchall() == []


async def test_one_key_is_one_test(gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
    webhook, other = await added(gateway, admin), await added(gateway, admin)
    headers = admin | {"Idempotency-Key": "once"}
    answers = await asyncio.gather(*(gateway.post(f"{HOOKS}/{webhook['id']}/test", headers=headers) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert answers[0].headers["Location"] == f"{HOOKS}/{webhook['id']}"
    assert int(answers[0].headers["Retry-After"]) >= 1
    assert (await gateway.post(f"{HOOKS}/{other['id']}/test", headers=headers)).status_code == 422


async def test_webhooks_are_listed_page_by_page(gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
    made = [(await added(gateway, admin))["id"] for _ in range(3)]
    first = (await gateway.get(HOOKS, params={"page_size": 2}, headers=admin)).json()
    rest = (await gateway.get(HOOKS, params={"page_token": first["next_page_token"]}, headers=admin)).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_page_token"] is None
    assert (await gateway.get(HOOKS, params={"status": "disabled"}, headers=admin)).json()["items"] == []
    assert (await gateway.get(HOOKS, params={"page_token": "x"}, headers=admin)).status_code == 422


async def test_there_is_an_end_to_how_many_webhooks_an_organisation_has(
    gateway: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    for _ in range(MAX_WEBHOOKS):
        await added(gateway, admin)
    answer = await gateway.post(HOOKS, json={"url": "http://127.0.0.1:9/"}, headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")


async def test_two_at_once_are_not_both_the_last_one(gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
    for _ in range(MAX_WEBHOOKS - 1):
        await added(gateway, admin)
    body = {"url": "http://127.0.0.1:9/"}
    answers = await asyncio.gather(*(gateway.post(HOOKS, json=body, headers=admin) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_disabled_webhook_is_enabled_once(
    gateway: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await added(gateway, admin)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE webhooks SET disabled_at = now() WHERE id = %s", [webhook["id"]])
    assert (await gateway.get(f"{HOOKS}/{webhook['id']}", headers=admin)).json()["status"] == "disabled"
    enable = f"{HOOKS}/{webhook['id']}/enable"
    answers = await asyncio.gather(*(gateway.post(enable, headers=admin) for _ in range(4)))
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(200, "active")}
    assert events_of(owner_url, webhook["id"]) == ["webhook_added", "webhook_enabled"]


async def test_another_secret_is_shown_once_and_the_one_before_it_is_kept_for_a_day(
    gateway: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await added(gateway, admin)
    answer = await gateway.post(f"{HOOKS}/{webhook['id']}/rotate-secret", headers=admin)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json().keys() == webhook.keys()
    assert answer.json()["secret"].startswith("whsec_")
    assert "whsec_" not in (await gateway.get(f"{HOOKS}/{webhook['id']}", headers=admin)).text
    with psycopg.connect(owner_url) as connection:
        query = (
            "SELECT secret, former_secret, former_until - now() BETWEEN '23 hours' AND '1 day'"
            " FROM webhook_secrets WHERE webhook_id = %s"
        )
        kept = connection.execute(query, [webhook["id"]]).fetchall()
    assert kept == [(answer.json()["secret"], webhook["secret"], True)]
    assert events_of(owner_url, webhook["id"]) == ["webhook_added", "webhook_secret_rotated"]


def events_of(owner_url: str, webhook_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq"
        return [event for (event,) in connection.execute(query, [webhook_id]).fetchall()]


class TestInProduction:
    """Where no private address and no http is allowed."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"webhooks": WebhookSettings()})

    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("http://93.184.216.34/", "url_not_https"),
            ("https://localhost/", "address_not_public"),
            ("https://127.0.0.1:8443/", "address_not_public"),
            ("https://169.254.169.254/latest/meta-data", "address_not_public"),
            ("https://[::ffff:10.0.0.1]/", "address_not_public"),
            ("https://[64:ff9b::a00:1]/", "address_not_public"),
            ("https://100.64.0.1/", "address_not_public"),
            ("https://kari:hemmelig@93.184.216.34/", "url_with_credentials"),
            ("https://nobody.invalid/", "host_unknown"),
            ("https://93.184.216.34:22/", "url_port"),
            ("not a url", "url_invalid"),
        ],
    )
    async def test_a_url_that_leads_inside_is_refused_by_its_pointer(
        self, gateway: httpx.AsyncClient, admin: dict[str, str], url: str, code: str
    ) -> None:
        answer = await gateway.post(HOOKS, json={"url": url}, headers=admin)
        assert answer.status_code == 422
        assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [("/url", code)]
        assert url not in answer.text
        assert (await gateway.get(HOOKS, headers=admin)).json()["items"] == []

    async def test_a_url_that_leads_out_is_taken(self, gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
        assert (await added(gateway, admin, url="https://93.184.216.34/hook"))["status"] == "active"


async def notified(button: ExportClient, worker_database: Database) -> str:
    export_id = await button.start_export()
    with worker_database.transaction(button.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failing = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="It could not go on.", retryable=True)
    ExportCompletion(worker_database).fail(failing)
    return export_id


async def listed(button: ExportClient, **query: Any) -> list[Json]:
    answer = await button.http_client.get(NOTES, params=query, headers=button.headers)
    items: list[Json] = answer.raise_for_status().json()["items"]
    return items


async def test_notifications_are_listed_newest_first_and_page_by_page(
    button: ExportClient, worker_database: Database
) -> None:
    made = [await notified(button, worker_database) for _ in range(3)]
    answer = await button.http_client.get(NOTES, params={"page_size": 2}, headers=button.headers)
    page = answer.json()
    rest = await listed(button, page_token=page["next_page_token"])
    assert [item["subject"]["id"] for item in page["items"] + rest] == made[::-1]
    assert len(await listed(button, status="failed")) == 3
    assert await listed(button, status="completed") == []
    assert await listed(button, created_after="2100-01-01T00:00:00Z") == []


async def test_a_notification_is_read_once_and_stays_read(button: ExportClient, worker_database: Database) -> None:
    await notified(button, worker_database)
    await notified(button, worker_database)
    newest, older = await listed(button, unread=True)
    path = f"{NOTES}/{newest['id']}/read"
    first, second = [await button.http_client.post(path, headers=button.headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["read_at"] is not None
    assert first.json() == second.json()
    assert [item["id"] for item in await listed(button, unread=True)] == [older["id"]]
    assert [item["id"] for item in await listed(button, unread=False)] == [newest["id"]]


async def test_a_notification_is_its_receivers_alone(
    button: ExportClient, worker_database: Database, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    await notified(button, worker_database)
    (notification,) = await listed(button)
    neighbour = create_tenant(owner_url)
    for headers in (
        bearer(tenant.users[Role.ADMIN], role="admin"),
        bearer(neighbour.coordinator, neighbour.org_id),
    ):
        answer = await button.http_client.get(NOTES, headers=headers)
        assert answer.json()["items"] == []
        answer = await button.http_client.post(f"{NOTES}/{notification['id']}/read", headers=headers)
        assert answer.status_code == 404
    assert (await listed(button))[0]["read_at"] is None
    unknown = await button.http_client.post(f"{NOTES}/{uuid4()}/read", headers=button.headers)
    assert unknown.status_code == 404


async def test_not_even_a_forgotten_filter_shows_a_notification_to_somebody_else(
    button: ExportClient, worker_database: Database, api_database: Database, tenant: Tenant
) -> None:
    await notified(button, worker_database)
    everything = text("SELECT count(*) FROM notifications")
    with api_database.transaction(tenant.org_id, user_id=tenant.coordinator) as session:
        assert session.scalar(everything) == 1
    with api_database.transaction(tenant.org_id, user_id=tenant.users[Role.ADMIN]) as session:
        assert session.scalar(everything) == 0
