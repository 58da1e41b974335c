"""The user who started an export is notified of its completion by email and webhook."""

import json
from email.message import EmailMessage

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, wait_until
from tests.support.dev_stack import DevStack
from tests.support.emails import parse_email, read_body
from tests.support.fixture_types import Bearer
from tests.support.webhook_receiver import WebhookReceiver, run_receiver


async def test_completed_export_sends_an_email_and_a_webhook(
    dev_stack: DevStack, export_client: ExportClient, tenant: Tenant, bearer: Bearer, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor("Kari Nordmann"))
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    address = f"coordinator@{tenant.org_id}.example"
    with run_receiver(WebhookReceiver()) as receiver:
        added = await export_client.http_client.post("/api/v1/webhooks", json={"url": receiver.url}, headers=admin)
        assert added.status_code == 201, added.text
        export_id = await export_client.start_export()
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed"

        async def list_deliveries() -> list[Json]:
            response = await export_client.http_client.get("/api/v1/notifications", headers=export_client.headers)
            items: list[Json] = response.raise_for_status().json()["items"][0]["deliveries"]
            return items

        await wait_until(
            list_deliveries, lambda deliveries: {delivery["state"] for delivery in deliveries} == {"delivered"}
        )

    (message,) = [message for message in read_emails(dev_stack) if message["To"] == address]
    text = read_body(message)
    assert f"{dev_stack.stack_json['api_url']}/console/exports/{export_id}\n" in text
    assert "Nordmann" not in text + read_body(message, "html")
    (request,) = receiver.requests
    assert json.loads(request.body)["data"]["export_id"] == export_id
    logs = " ".join(
        [await dev_stack.read_output(), *(log.read_text() for log in (dev_stack.data_dir / "logs").glob("*.log"))]
    )
    assert [secret for secret in (address, added.json()["secret"], receiver.url) if secret in logs] == []


def read_emails(dev_stack: DevStack) -> list[EmailMessage]:
    return [parse_email(path) for path in sorted((dev_stack.data_dir / "mail").glob("*.eml"))]
