"""The page of the rows that differ between two versions of a report."""

from datetime import UTC, datetime
from html import unescape

import psycopg

from stafett.testing import ActivityFactory, ExportClient, Tenant
from tests.support.fixture_types import RunWorker
from tests.support.reexports import ReexportClient
from tests.support.sign_in import ConsoleBrowser


async def test_activity_that_counts_since_another_was_deleted_is_explained(
    browser: ConsoleBrowser,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    tenant: Tenant,
    run_worker: RunWorker,
    owner_url: str,
) -> None:
    """The other activity of the day is unchanged; only its outcome differs."""
    client, mentor = ReexportClient(export_client), activity_factory.create_mentor()
    removed, _ = (
        activity_factory.create_activity(mentor, starts_at=datetime(2026, 1, 5, hour, tzinfo=UTC), new_participants=0)
        for hour in (8, 11)
    )
    async with run_worker():
        report_id = await client.create_report()
        with psycopg.connect(owner_url) as connection:
            connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [removed])
        await client.complete_reexport(report_id)
    await browser.sign_in(tenant.coordinator)
    report = (await browser.get(f"/console/reports/{report_id}")).text
    assert f"/console/reports/{report_id}/changes?to=2" in report
    counts = "Rows: 0 added, 1 removed, 1 changed"
    assert counts in report
    page = unescape((await browser.get(f"/console/reports/{report_id}/changes?to=2")).text)
    assert counts in page
    assert "outcome in the report: does not count → counts" in " ".join(page.split())
    assert "<td>No → Yes</td>" in page
    assert "another one of the same day was deleted" in page
