"""Web pages: exports in Temporal's Web UI, and the API's documentation."""

from urllib.parse import quote, urlsplit

from playwright.async_api import Page, expect
from temporalio.client import Client

from stafett.devstack.stack import RunningServers
from stafett.testing import ActivityFactory, ExportClient
from tests.support.fixture_types import RunWorker


async def test_documentation_page_loads_nothing_from_other_hosts(page: Page, api_url: str) -> None:
    hosts: list[str] = []
    page.on("request", lambda request: hosts.append(urlsplit(request.url).hostname or ""))
    await page.goto(f"{api_url}/docs")
    await expect(page.get_by_text("/api/v1/bufdir-exports", exact=True).first).to_be_visible()
    assert set(hosts) <= {"127.0.0.1", ""}


async def test_web_ui_shows_summary_and_status_of_an_export(
    page: Page,
    stack: RunningServers,
    temporal: Client,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
        await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    workflow = quote(f"bufdir-export/{export_id}", safe="")
    await page.goto(f"{stack.addresses.temporal_ui_url}/namespaces/default/workflows/{workflow}")
    await expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=20_000)
    await expect(page.get_by_text("querying activities").first).to_be_visible()
    await page.get_by_text("User Metadata").click()
    summary = page.frame_locator("#user-metadata-summary").get_by_text(
        f"Bufdir export for {export_client.org_id}, 2026-01-01 to 2026-12-31"
    )
    await expect(summary).to_be_visible()
    await page.get_by_text("Search Attributes").click()
    await expect(page.get_by_text("JobStatus").first).to_be_visible()
