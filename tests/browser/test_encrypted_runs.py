"""Temporal's Web UI decrypts payloads through the API's codec endpoint, for operators only."""

import base64
import json
from urllib.parse import quote

import pytest
from playwright.async_api import Page, Response, expect
from pydantic import AnyHttpUrl, SecretStr
from temporalio.client import Client

from stafett.devstack.stack import RunningServers
from stafett.seed.organisations import dev_user_id
from stafett.settings import Settings
from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until
from tests.support.fixture_types import Bearer, RunWorker


@pytest.fixture
def settings(settings: Settings, stack: RunningServers) -> Settings:
    """Settings with a payload encryption key and with the Web UI as an allowed origin."""
    key = SecretStr(f"2027:{base64.b64encode(bytes(32)).decode()}")
    return settings.model_copy(
        update={
            "temporal": settings.temporal.model_copy(update={"codec_keys": key}),
            "api": settings.api.model_copy(update={"web_ui_origin": AnyHttpUrl(stack.addresses.temporal_ui_url)}),
        }
    )


@pytest.mark.parametrize("is_operator", [True, False])
async def test_web_ui_decrypts_payloads_for_operators_only(
    page: Page,
    api_url: str,
    stack: RunningServers,
    temporal: Client,
    tenant: Tenant,
    bearer: Bearer,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    *,
    is_operator: bool,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await export_client.start_export()
        await export_client.wait_for_completion(export_id)
        await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    operator, statuses = dev_user_id("operator@stafett.example"), list[int]()
    headers = bearer(operator, None) if is_operator else bearer(tenant.coordinator)

    def record_codec_status(response: Response) -> None:
        if response.url.startswith(api_url) and response.request.method == "POST":
            statuses.append(response.status)

    async def get_statuses() -> list[int]:
        return statuses

    page.on("response", record_codec_status)
    # The Web UI of the development server has no login whose token it could pass on, so the page adds the token.
    await page.set_extra_http_headers(headers)
    codec = {"endpoint": json.dumps(f"{api_url}/api/v1/codec"), "overrideRemoteCodecConfiguration": "true"}
    await page.add_init_script("".join(f"localStorage.setItem({name!r}, {value!r});" for name, value in codec.items()))
    workflow = quote(f"bufdir-export/{export_id}", safe="")
    await page.goto(f"{stack.addresses.temporal_ui_url}/namespaces/default/workflows/{workflow}")
    await expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=20_000)
    assert set(await wait_until(get_statuses, bool)) == ({200} if is_operator else {403})
    summary = page.get_by_text("querying activities").first
    await (expect(summary).to_be_visible() if is_operator else expect(summary).to_have_count(0))
