"""Whoever asked for an export is told of its end, by letter and by webhook, on the stack that a user starts."""

import email
import email.message
import email.policy
import json
from collections.abc import Callable

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, wait_until
from tests.acceptance.dev_stack import DevStack
from tests.receiver import Receiver, receiving

Bearer = Callable[..., dict[str, str]]


async def test_a_letter_and_a_webhook_tell_of_an_exports_end(
    dev: DevStack, button: ExportClient, tenant: Tenant, bearer: Bearer, diary: ActivityFactory
) -> None:
    diary.create_activity(diary.create_mentor("Kari Nordmann"))
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    address = f"coordinator@{tenant.org_id}.example"
    with receiving(Receiver()) as receiver:
        added = await button.http_client.post("/api/v1/webhooks", json={"url": receiver.url}, headers=admin)
        assert added.status_code == 201, added.text
        export_id = await button.start_export()
        assert (await button.wait_for_completion(export_id))["status"] == "completed"

        async def deliveries() -> list[Json]:
            answer = await button.http_client.get("/api/v1/notifications", headers=button.headers)
            found: list[Json] = answer.raise_for_status().json()["items"][0]["deliveries"]
            return found

        await wait_until(deliveries, lambda made: {one["state"] for one in made} == {"delivered"})

    (letter,) = [found for found in letters(dev) if found["To"] == address]
    assert export_id in letter.get_content()
    assert "Nordmann" not in letter.get_content()
    (taken,) = receiver.taken
    assert json.loads(taken.body)["data"]["export_id"] == export_id
    logs = " ".join([await dev.said(), *(log.read_text() for log in (dev.data_dir / "logs").glob("*.log"))])
    assert [word for word in (address, added.json()["secret"], receiver.url) if word in logs] == []


def letters(dev: DevStack) -> list[email.message.EmailMessage]:
    kept = sorted((dev.data_dir / "mail").glob("*.eml"))
    return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in kept]
