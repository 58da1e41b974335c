"""The ``/webhooks`` and ``/notifications`` API: permissions, validation and visibility."""

import asyncio
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
from tests.support.fixture_types import Bearer

WEBHOOKS, NOTIFICATIONS = "/api/v1/webhooks", "/api/v1/notifications"
ACTIONS = ("test", "enable", "rotate-secret")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def admin(tenant: Tenant, bearer: Bearer) -> dict[str, str]:
    return bearer(tenant.users[Role.ADMIN], role="admin")


async def create_webhook(api_client: httpx.AsyncClient, headers: dict[str, str], **fields: object) -> Json:
    body = {"url": "http://127.0.0.1:9/hook", **fields}
    response = await api_client.post(WEBHOOKS, json=body, headers=headers)
    assert response.status_code == 201, response.text
    webhook: Json = response.json()
    return webhook


async def test_secret_is_only_returned_on_creation(
    api_client: httpx.AsyncClient, admin: dict[str, str], tenant: Tenant, owner_url: str
) -> None:
    response = await api_client.post(
        WEBHOOKS, json={"url": "https://127.0.0.1/hook", "description": "Vårt system"}, headers=admin
    )
    assert response.status_code == 201
    webhook = response.json()
    assert response.headers["Location"] == f"{WEBHOOKS}/{webhook['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert (webhook["org_id"], webhook["description"], webhook["status"]) == (tenant.org_id, "Vårt system", "active")
    assert webhook["created_by"] == str(tenant.users[Role.ADMIN])
    for path in (WEBHOOKS, f"{WEBHOOKS}/{webhook['id']}"):
        response = await api_client.get(path, headers=admin)
        assert response.status_code == 200
        assert "whsec_" not in response.text
    with psycopg.connect(owner_url) as connection:
        events = connection.execute(
            "SELECT event, detail FROM audit_events WHERE subject_id = %s", [webhook["id"]]
        ).fetchall()
    assert events == [("webhook_added", {})]


async def test_database_role_of_the_api_cannot_read_secrets(
    api_client: httpx.AsyncClient, admin: dict[str, str], api_database: Database, tenant: Tenant
) -> None:
    await create_webhook(api_client, admin)
    with api_database.transaction(tenant.org_id) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("SELECT secret FROM webhook_secrets"))


async def test_worker_reads_only_the_recipient_of_a_pending_email(
    export_client: ExportClient, worker_database: Database, tenant: Tenant, owner_url: str
) -> None:
    await fail_export(export_client, worker_database)
    with psycopg.connect(owner_url) as connection:
        (delivery,) = connection.execute(
            "INSERT INTO deliveries (id, org_id, notification_id, channel)"
            " SELECT gen_random_uuid(), org_id, id, 'email' FROM notifications WHERE org_id = %s RETURNING id",
            [tenant.org_id],
        ).fetchone() or (None,)
    query, parameters = text("SELECT address FROM get_delivery_recipient(:delivery)"), {"delivery": delivery}
    with worker_database.transaction(tenant.org_id) as session:
        assert session.scalar(query, parameters) == f"coordinator@{tenant.org_id}.example"
    with worker_database.transaction(create_tenant(owner_url).org_id) as session:
        assert session.scalar(query, parameters) is None
    with worker_database.transaction(tenant.org_id) as session:
        session.execute(
            text("UPDATE deliveries SET state = 'delivered', settled_at = now() WHERE id = :delivery"), parameters
        )
        assert session.scalar(query, parameters) is None
    with worker_database.transaction(tenant.org_id) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("SELECT email FROM users"))


async def test_settled_delivery_is_immutable(
    api_client: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await create_webhook(api_client, admin)
    delivery = (await api_client.post(f"{WEBHOOKS}/{webhook['id']}/test", headers=admin)).json()
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE deliveries SET state = 'given_up', settled_at = now() WHERE id = %s", [delivery["id"]]
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="immutable"):
            connection.execute(
                "UPDATE deliveries SET state = 'pending', settled_at = NULL WHERE id = %s", [delivery["id"]]
            )


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.AUDITOR])
async def test_only_admins_may_manage_webhooks(
    api_client: httpx.AsyncClient, admin: dict[str, str], tenant: Tenant, bearer: Bearer, role: Role
) -> None:
    webhook, headers = await create_webhook(api_client, admin), bearer(tenant.users[role], role=role)
    responses = await asyncio.gather(
        api_client.post(WEBHOOKS, json={"url": "http://127.0.0.1:9/"}, headers=headers),
        api_client.get(WEBHOOKS, headers=headers),
        api_client.get(f"{WEBHOOKS}/{webhook['id']}", headers=headers),
        api_client.delete(f"{WEBHOOKS}/{webhook['id']}", headers=headers),
        *(api_client.post(f"{WEBHOOKS}/{webhook['id']}/{action}", headers=headers) for action in ACTIONS),
    )
    assert [(response.status_code, response.json()["code"]) for response in responses] == [
        (403, "permission_denied")
    ] * 7


async def test_webhook_of_another_organisation_is_not_found(
    api_client: httpx.AsyncClient, admin: dict[str, str], bearer: Bearer, owner_url: str
) -> None:
    webhook, neighbour = await create_webhook(api_client, admin), create_tenant(owner_url)
    neighbour_headers = bearer(neighbour.users[Role.ADMIN], neighbour.org_id, "admin")
    for method, path in (("GET", ""), ("DELETE", ""), *(("POST", f"/{action}") for action in ACTIONS)):
        response = await api_client.request(method, f"{WEBHOOKS}/{webhook['id']}{path}", headers=neighbour_headers)
        assert response.status_code == 404
    assert (await api_client.get(WEBHOOKS, headers=neighbour_headers)).json()["items"] == []
    body = {"url": "http://127.0.0.1:9/", "org_id": webhook["org_id"]}
    assert (await api_client.post(WEBHOOKS, json=body, headers=neighbour_headers)).status_code == 403


async def test_deleting_a_webhook_deletes_its_secret(
    api_client: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await create_webhook(api_client, admin)
    path = f"{WEBHOOKS}/{webhook['id']}"
    assert (await api_client.delete(path, headers=admin)).status_code == 204
    for method, url in (("GET", path), ("DELETE", path), *(("POST", f"{path}/{action}") for action in ACTIONS)):
        assert (await api_client.request(method, url, headers=admin)).status_code == 404
    assert (await api_client.get(WEBHOOKS, headers=admin)).json()["items"] == []
    with psycopg.connect(owner_url) as connection:
        query = "SELECT FROM webhook_secrets WHERE webhook_id = %s"
        assert connection.execute(query, [webhook["id"]]).fetchall() == []


async def test_repeated_test_with_the_same_key_creates_one_delivery(
    api_client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    webhook, other = await create_webhook(api_client, admin), await create_webhook(api_client, admin)
    headers = admin | {"Idempotency-Key": "once"}
    responses = await asyncio.gather(
        *(api_client.post(f"{WEBHOOKS}/{webhook['id']}/test", headers=headers) for _ in range(4))
    )
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert responses[0].headers["Location"] == f"{WEBHOOKS}/{webhook['id']}"
    assert int(responses[0].headers["Retry-After"]) >= 1
    assert (await api_client.post(f"{WEBHOOKS}/{other['id']}/test", headers=headers)).status_code == 422


async def test_webhooks_are_paginated_newest_first(api_client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    webhook_ids = [(await create_webhook(api_client, admin))["id"] for _ in range(3)]
    first = (await api_client.get(WEBHOOKS, params={"page_size": 2}, headers=admin)).json()
    rest = (await api_client.get(WEBHOOKS, params={"page_token": first["next_page_token"]}, headers=admin)).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == webhook_ids[::-1]
    assert rest["next_page_token"] is None
    assert (await api_client.get(WEBHOOKS, params={"status": "disabled"}, headers=admin)).json()["items"] == []
    assert (await api_client.get(WEBHOOKS, params={"page_token": "x"}, headers=admin)).status_code == 422


async def test_number_of_webhooks_is_limited(api_client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    for _ in range(MAX_WEBHOOKS):
        await create_webhook(api_client, admin)
    response = await api_client.post(WEBHOOKS, json={"url": "http://127.0.0.1:9/"}, headers=admin)
    assert (response.status_code, response.json()["code"]) == (409, "too_many_webhooks")


async def test_concurrent_creations_do_not_exceed_the_limit(
    api_client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    for _ in range(MAX_WEBHOOKS - 1):
        await create_webhook(api_client, admin)
    body = {"url": "http://127.0.0.1:9/"}
    responses = await asyncio.gather(*(api_client.post(WEBHOOKS, json=body, headers=admin) for _ in range(8)))
    assert sorted(response.status_code for response in responses) == [201] + [409] * 7


async def test_concurrent_enabling_is_recorded_once(
    api_client: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await create_webhook(api_client, admin)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE webhooks SET disabled_at = now() WHERE id = %s", [webhook["id"]])
    assert (await api_client.get(f"{WEBHOOKS}/{webhook['id']}", headers=admin)).json()["status"] == "disabled"
    enable = f"{WEBHOOKS}/{webhook['id']}/enable"
    responses = await asyncio.gather(*(api_client.post(enable, headers=admin) for _ in range(4)))
    assert {(response.status_code, response.json()["status"]) for response in responses} == {(200, "active")}
    assert fetch_audit_events(owner_url, webhook["id"]) == ["webhook_added", "webhook_enabled"]


async def test_rotated_secret_is_returned_once_and_the_old_one_stored_for_a_day(
    api_client: httpx.AsyncClient, admin: dict[str, str], owner_url: str
) -> None:
    webhook = await create_webhook(api_client, admin)
    response = await api_client.post(f"{WEBHOOKS}/{webhook['id']}/rotate-secret", headers=admin)
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    assert response.json().keys() == webhook.keys()
    assert response.json()["secret"].startswith("whsec_")
    assert "whsec_" not in (await api_client.get(f"{WEBHOOKS}/{webhook['id']}", headers=admin)).text
    with psycopg.connect(owner_url) as connection:
        query = (
            "SELECT secret, previous_secret, previous_expires_at - now() BETWEEN '23 hours' AND '1 day'"
            " FROM webhook_secrets WHERE webhook_id = %s"
        )
        secrets = connection.execute(query, [webhook["id"]]).fetchall()
    assert secrets == [(response.json()["secret"], webhook["secret"], True)]
    assert fetch_audit_events(owner_url, webhook["id"]) == ["webhook_added", "webhook_secret_rotated"]


def fetch_audit_events(owner_url: str, webhook_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq"
        return [event for (event,) in connection.execute(query, [webhook_id]).fetchall()]


class TestInProduction:
    """With production settings, which allow neither private addresses nor plain HTTP."""

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
            ("https://unknown.invalid/", "host_unknown"),
            ("https://93.184.216.34:22/", "url_port"),
            ("not a url", "url_invalid"),
        ],
    )
    async def test_unsafe_url_is_rejected_and_not_quoted(
        self, api_client: httpx.AsyncClient, admin: dict[str, str], url: str, code: str
    ) -> None:
        response = await api_client.post(WEBHOOKS, json={"url": url}, headers=admin)
        assert response.status_code == 422
        assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [("/url", code)]
        assert url not in response.text
        assert (await api_client.get(WEBHOOKS, headers=admin)).json()["items"] == []

    async def test_public_https_url_is_accepted(self, api_client: httpx.AsyncClient, admin: dict[str, str]) -> None:
        assert (await create_webhook(api_client, admin, url="https://93.184.216.34/hook"))["status"] == "active"


async def fail_export(export_client: ExportClient, worker_database: Database) -> str:
    export_id = await export_client.start_export()
    with worker_database.transaction(export_client.org_id) as session:
        job = session.get_one(Export, UUID(export_id)).job
    failure = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="It failed.", retryable=True)
    ExportCompletion(worker_database).fail(failure)
    return export_id


async def list_notifications(export_client: ExportClient, **query: Any) -> list[Json]:
    response = await export_client.http_client.get(NOTIFICATIONS, params=query, headers=export_client.headers)
    items: list[Json] = response.raise_for_status().json()["items"]
    return items


async def test_notifications_are_paginated_newest_first(export_client: ExportClient, worker_database: Database) -> None:
    export_ids = [await fail_export(export_client, worker_database) for _ in range(3)]
    response = await export_client.http_client.get(
        NOTIFICATIONS, params={"page_size": 2}, headers=export_client.headers
    )
    page = response.json()
    rest = await list_notifications(export_client, page_token=page["next_page_token"])
    assert [item["subject"]["id"] for item in page["items"] + rest] == export_ids[::-1]
    assert len(await list_notifications(export_client, status="failed")) == 3
    assert await list_notifications(export_client, status="completed") == []
    assert await list_notifications(export_client, created_after="2100-01-01T00:00:00Z") == []


async def test_reading_a_notification_is_idempotent(export_client: ExportClient, worker_database: Database) -> None:
    await fail_export(export_client, worker_database)
    await fail_export(export_client, worker_database)
    newest, older = await list_notifications(export_client, unread=True)
    path = f"{NOTIFICATIONS}/{newest['id']}/read"
    first, second = [await export_client.http_client.post(path, headers=export_client.headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["read_at"] is not None
    assert first.json() == second.json()
    assert [item["id"] for item in await list_notifications(export_client, unread=True)] == [older["id"]]
    assert [item["id"] for item in await list_notifications(export_client, unread=False)] == [newest["id"]]


async def test_notification_is_visible_only_to_its_recipient(
    export_client: ExportClient, worker_database: Database, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    await fail_export(export_client, worker_database)
    (notification,) = await list_notifications(export_client)
    neighbour = create_tenant(owner_url)
    for headers in (
        bearer(tenant.users[Role.ADMIN], role="admin"),
        bearer(neighbour.coordinator, neighbour.org_id),
    ):
        response = await export_client.http_client.get(NOTIFICATIONS, headers=headers)
        assert response.json()["items"] == []
        response = await export_client.http_client.post(f"{NOTIFICATIONS}/{notification['id']}/read", headers=headers)
        assert response.status_code == 404
    assert (await list_notifications(export_client))[0]["read_at"] is None
    unknown = await export_client.http_client.post(f"{NOTIFICATIONS}/{uuid4()}/read", headers=export_client.headers)
    assert unknown.status_code == 404


async def test_row_level_security_hides_notifications_of_other_users(
    export_client: ExportClient, worker_database: Database, api_database: Database, tenant: Tenant
) -> None:
    await fail_export(export_client, worker_database)
    count_all = text("SELECT count(*) FROM notifications")
    with api_database.transaction(tenant.org_id, user_id=tenant.coordinator) as session:
        assert session.scalar(count_all) == 1
    with api_database.transaction(tenant.org_id, user_id=tenant.users[Role.ADMIN]) as session:
        assert session.scalar(count_all) == 0
