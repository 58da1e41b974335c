"""What people see: operators in the Temporal Web UI, programmers in the API's documentation."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote, urlsplit

from playwright.async_api import Page, expect
from temporalio.client import Client

from stafett.devstack.stack import RunningServers
from stafett.testing import ActivityFactory, ExportClient

Working = Callable[[], AbstractAsyncContextManager[None]]


async def test_the_documentation_is_there_without_the_internet(page: Page, served: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).hostname or ""))
    await page.goto(f"{served}/docs")
    await expect(page.get_by_text("/api/v1/bufdir-exports", exact=True).first).to_be_visible()
    assert set(asked) <= {"127.0.0.1", ""}


async def test_an_operator_finds_an_export_in_the_web_ui(
    page: Page, stack: RunningServers, temporal: Client, button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        await button.wait_for_completion(export_id)
        await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    workflow = quote(f"bufdir-export/{export_id}", safe="")
    await page.goto(f"{stack.addresses.temporal_ui_url}/namespaces/default/workflows/{workflow}")
    await expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=20_000)
    await expect(page.get_by_text("querying activities").first).to_be_visible()
    await page.get_by_text("User Metadata").click()
    summary = page.frame_locator("#user-metadata-summary").get_by_text(
        f"Bufdir export for {button.org_id}, 2026-01-01 to 2026-12-31"
    )
    await expect(summary).to_be_visible()
    await page.get_by_text("Search Attributes").click()
    await expect(page.get_by_text("JobStatus").first).to_be_visible()
