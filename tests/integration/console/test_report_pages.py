"""The pages of new reports and of their jobs, over HTTP."""

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_jobs import REPORT_FIELDS, start_report, wait_for_text
from tests.support.fixture_types import RunWorker
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
HOSTILE_NAME = '<script>alert("x")</script>'


async def test_report_is_checked_made_and_downloaded(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor(HOSTILE_NAME), place=HOSTILE_NAME)
    await browser.sign_in(tenant.coordinator)
    form = (await browser.get("/console/exports/new")).text
    assert "New report" in form
    async with run_worker():
        check = (await browser.http.get("/console/exports/check", params=REPORT_FIELDS | {"page": str(uuid4())})).text
        assert HOSTILE_NAME not in check
        assert HOSTILE_NAME in unescape(check)
        assert "<dt>Activities in the period</dt><dd>1</dd>" in check
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', check.split("<main")[1]))
        response = await browser.post("/console/exports", fields)
        path = urlsplit(response.headers["location"]).path
        page = await wait_for_text(browser, path, "The report is ready.")
        again = (await browser.http.get("/console/exports/check", params=REPORT_FIELDS)).text
        half = REPORT_FIELDS | {"period": f"{REPORT_FIELDS['period']}-H1"}
        other = (await browser.http.get("/console/exports/check", params=half)).text
    report = re.search(r'href="(/console/reports/[0-9a-f-]+)"', page)
    assert report is not None
    assert "There is a report of this period already" in again
    assert f'href="{report[1]}"' in again
    assert "a report of this period already" not in check + other
    assert "ordered the report" in page
    assert "data-events" not in page
    file = await browser.get(f"{path}/file")
    assert file.status_code == 303
    assert (await browser.http.get(file.headers["location"])).status_code == 200
    assert "downloaded the file" in (await browser.get(path)).text


async def test_check_is_shown_again_without_a_worker_until_an_activity_changes(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    await browser.sign_in(tenant.coordinator)

    async def check() -> str:
        return (await browser.http.get("/console/exports/check", params=REPORT_FIELDS)).text

    async with run_worker():
        assert "<dt>Activities in the period</dt><dd>1</dd>" in await check()
    assert "<dt>Activities in the period</dt><dd>1</dd>" in await check()
    activity_factory.create_activity(mentor)
    async with run_worker():
        assert "<dt>Activities in the period</dt><dd>2</dd>" in await check()


async def test_same_page_starts_one_export_and_other_parameters_another(
    browser: ConsoleBrowser, tenant: Tenant
) -> None:
    await browser.sign_in(tenant.coordinator)
    page = str(uuid4())
    first = await start_report(browser, page)
    assert await start_report(browser, page) == first
    assert await start_report(browser, page, period="2025") != first
    assert await start_report(browser) != first


async def test_report_can_be_started_while_no_worker_can_check_it(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    page = (await browser.get(await start_report(browser))).text
    assert "Waiting to start" in page
    assert "It waits for a free worker and continues by itself." in page
    assert "As of " in page


@pytest.mark.parametrize("path", ["/console/exports/check", "/console/exports"])
async def test_invalid_form_is_shown_again_with_its_errors(browser: ConsoleBrowser, tenant: Tenant, path: str) -> None:
    await browser.sign_in(tenant.coordinator)
    fields = REPORT_FIELDS | {"period": "dates", "start": "2025-03-02", "end": "2025-03-01"}
    response = (
        await browser.http.get(path, params=fields) if path.endswith("check") else await browser.submit(path, **fields)
    )
    assert response.status_code == 422
    assert '<a href="#end">The last day is before the first day.</a>' in response.text
    assert 'value="02.03.2025"' in response.text


async def test_report_is_cancelled_on_its_own_page_retried_and_deleted(
    open_browser: OpenBrowser, tenant: Tenant, run_worker: RunWorker
) -> None:
    coordinator, admin = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    await admin.sign_in(tenant.users[Role.ADMIN])
    path = await start_report(coordinator)
    confirmation = (await coordinator.get(f"{path}/cancel")).text
    assert "Cancel the report 2026?" in confirmation
    assert f'<form method="post" action="{path}/cancel">' in confirmation
    assert (await coordinator.submit(f"{path}/cancel")).status_code == 303
    async with run_worker():
        await wait_for_text(coordinator, path, "Try again")
        assert (await coordinator.submit(f"{path}/retry", attempt="1")).status_code == 303
        await wait_for_text(coordinator, path, "there were no activities")
        assert (await coordinator.submit(f"{path}/retry", attempt="1")).status_code == 303  # the same press again
        assert (await coordinator.submit(f"{path}/retry", attempt="2")).status_code == 409
    assert (await coordinator.submit(f"{path}/delete")).status_code == 403
    assert "Delete the report 2026?" in (await admin.get(f"{path}/delete")).text
    assert (await admin.submit(f"{path}/delete")).status_code == 303
    assert (await coordinator.get(path)).status_code == 404


ACTIONS = ("cancel", "retry", "delete")


async def test_report_of_another_organisation_does_not_exist(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant
) -> None:
    owner, stranger = open_browser(), open_browser()
    await owner.sign_in(tenant.coordinator)
    await stranger.sign_in(other_tenant.coordinator, "two")
    path = await start_report(owner)
    for suffix in ("", "/events", "/file", "/deviations.csv", "/cancel", "/delete"):
        assert (await stranger.get(path + suffix)).status_code == 404, suffix
    for action in ACTIONS:
        assert (await stranger.submit(f"{path}/{action}", attempt="1")).status_code == 404, action
    assert path not in (await stranger.get("/console/exports")).text
    assert path in (await owner.get("/console/exports")).text


async def test_form_without_the_token_changes_nothing(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    assert (await browser.post("/console/exports", REPORT_FIELDS)).status_code == 403
    path = await start_report(browser)
    for action in ACTIONS:
        assert (await browser.post(f"{path}/{action}", {"form_token": "x"})).status_code == 403
    assert "Waiting to start" in (await browser.get(path)).text


async def test_auditor_sees_reports_and_can_start_none(open_browser: OpenBrowser, tenant: Tenant) -> None:
    coordinator, auditor = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    path = await start_report(coordinator)
    page = (await auditor.get(path)).text
    assert "Report 2026" in page
    assert f"{path}/cancel" not in page
    assert "/console/exports/new" not in page
    assert (await auditor.get("/console/exports/new")).status_code == 403
    assert (await auditor.submit("/console/exports", key="x", **REPORT_FIELDS)).status_code == 403


async def test_events_follow_the_job_and_end_with_the_session(
    browser: ConsoleBrowser, tenant: Tenant, run_worker: RunWorker
) -> None:
    await browser.sign_in(tenant.coordinator)
    path = await start_report(browser)
    async with run_worker():
        events = (await browser.get(f"{path}/events")).text
    assert "event: status" in events
    assert '"status":"completed_empty"' in events


async def test_start_page_lists_what_needs_attention(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await browser.sign_in(tenant.coordinator)
    assert "Nothing needs your attention." in (await browser.get("/console")).text
    path = await start_report(browser)
    assert "<h3>Running</h3>" in (await browser.get("/console")).text
    async with run_worker():
        await wait_for_text(browser, path, "The report is ready.")
    assert "<h3>Ready to download, not yet handed in</h3>" in (await browser.get("/console")).text


@pytest.mark.parametrize(("language", "title"), [("nb", "Ny rapport"), ("nn", "Ny rapport"), ("en", "New report")])
async def test_language_switch_keeps_the_page_and_is_remembered(
    browser: ConsoleBrowser, tenant: Tenant, language: str, title: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    del browser.http.cookies["stafett-lang"]
    page = (await browser.get("/console/exports/new?period=2025-H2")).text
    assert '<html lang="nb">' in page
    assert f'href="/console/exports/new?period=2025-H2&amp;lang={language}"' in page or language == "nb"
    await browser.get(f"/console/exports/new?period=2025-H2&lang={language}")
    remembered = (await browser.get("/console/exports/new")).text
    assert f'<html lang="{language}">' in remembered
    assert f"<h1>{title}</h1>" in remembered


async def test_unknown_page_is_an_error_page_with_the_request_id(browser: ConsoleBrowser) -> None:
    response = await browser.get(f"/console/exports/{uuid4()}/nowhere", **{"X-Request-ID": "my-request"})
    assert response.status_code == 404
    assert "This page does not exist" in response.text
    assert "my-request" in response.text


async def test_stylesheet_and_script_can_be_cached_for_long(browser: ConsoleBrowser) -> None:
    page = (await browser.get("/console/login")).text
    (url,) = re.findall(r'href="(/console/static/[^"]+css[^"]+)"', page)
    stylesheet = await browser.get(url)
    assert stylesheet.headers["content-type"].startswith("text/css")
    assert "immutable" in stylesheet.headers["cache-control"]
    assert (await browser.get("/console/static/nowhere.css")).status_code == 404
