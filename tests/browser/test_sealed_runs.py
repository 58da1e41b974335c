"""Temporal's Web UI shows a sealed run to an operator, through our API, and to nobody else."""

import base64
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

import pytest
from playwright.async_api import Page, Response, expect
from pydantic import AnyHttpUrl, SecretStr
from temporalio.client import Client

from stafett.devstack.stack import RunningServers
from stafett.seed.organisations import dev_user_id
from stafett.settings import Settings
from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def settings(settings: Settings, stack: RunningServers) -> Settings:
    """With a key, and with the stack's Web UI."""
    key = SecretStr(f"2027:{base64.b64encode(bytes(32)).decode()}")
    return settings.model_copy(
        update={
            "temporal": settings.temporal.model_copy(update={"codec_keys": key}),
            "api": settings.api.model_copy(update={"web_ui_origin": AnyHttpUrl(stack.addresses.temporal_ui_url)}),
        }
    )


@pytest.mark.parametrize("is_operator", [True, False])
async def test_a_sealed_run_is_read_by_an_operator_alone(
    page: Page,
    served: str,
    stack: RunningServers,
    temporal: Client,
    tenant: Tenant,
    bearer: Bearer,
    button: ExportClient,
    diary: ActivityFactory,
    working: Working,
    *,
    is_operator: bool,
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        export_id = await button.start_export()
        await button.wait_for_completion(export_id)
        await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    operator, answers = dev_user_id("operator@stafett.example"), list[int]()
    who = bearer(operator, None) if is_operator else bearer(tenant.coordinator)

    def answered(response: Response) -> None:
        if response.url.startswith(served) and response.request.method == "POST":
            answers.append(response.status)

    async def answered_by_now() -> list[int]:
        return answers

    page.on("response", answered)
    # The development server's Web UI has no log-in whose token it could pass on; something before the API adds it.
    await page.set_extra_http_headers(who)
    codec = {"endpoint": json.dumps(f"{served}/api/v1/codec"), "overrideRemoteCodecConfiguration": "true"}
    await page.add_init_script("".join(f"localStorage.setItem({name!r}, {value!r});" for name, value in codec.items()))
    workflow = quote(f"bufdir-export/{export_id}", safe="")
    await page.goto(f"{stack.addresses.temporal_ui_url}/namespaces/default/workflows/{workflow}")
    await expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=20_000)
    assert set(await wait_until(answered_by_now, bool)) == ({200} if is_operator else {403})
    summary = page.get_by_text("querying activities").first
    await (expect(summary).to_be_visible() if is_operator else expect(summary).to_have_count(0))
