"""The history of reports over HTTP: versions, submission to Bufdir and the check of a file."""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.domain.reporting_period import OSLO
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import parse_path, read_field
from tests.support.console_jobs import make_report, wait_for_text
from tests.support.fixture_types import RunWorker
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
HOSTILE_TEXT = "<script>\N{RIGHT-TO-LEFT OVERRIDE}</script>"


def read_revision(page: str) -> str:
    match = re.search(r'name="revision" value="(\d+)"', page)
    assert match is not None, page
    return match[1]


async def verify(browser: ConsoleBrowser, path: str, content: bytes = b"", **fields: str) -> httpx.Response:
    fields |= {"form_token": await browser.get_form_token()}
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    files = {"file": ("report.csv", content)}
    return await browser.http.post(f"{path}/verification", data=fields, files=files, headers=headers)


async def test_report_is_submitted_exported_again_and_verified(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    await browser.sign_in(tenant.coordinator)
    async with run_worker():
        path = await make_report(browser)
        activity_factory.create_activity(mentor)
        response = await browser.submit(
            f"{path}/versions", source="current_data", reason=HOSTILE_TEXT, key=str(uuid4())
        )
        job = urlsplit(response.headers["location"]).path
        await wait_for_text(browser, job, "Version 2 of the report is ready.")
    page = (await browser.get(path)).text
    assert "Rows: 1 added, 0 removed, 0 changed" in page
    assert HOSTILE_TEXT not in page
    assert "&lt;script&gt;" in page
    download = await browser.get((await browser.get(f"{job}/file")).headers["location"])
    assert download.headers["Content-Disposition"].endswith("-version-2.csv")
    assert "-version-2.csv</a>" in page
    assert "unchanged" in (await verify(browser, path, download.content)).text
    assert "version 2" in (await verify(browser, path, sha256=hashlib.sha256(download.content).hexdigest())).text
    assert "The file is not a version of this report." in (await verify(browser, path, b"other")).text

    response = await browser.submit(
        f"{path}/submission", revision=read_revision(page), submitted_on="2026-02-01", submitted_reference=HOSTILE_TEXT
    )
    assert response.status_code == 303
    page = (await browser.get(path)).text
    assert "Version 2 was handed in to Bufdir on 1 February 2026." in page
    assert "for the grant year 2028, and is stored at least until 31 December 2033." in page
    assert HOSTILE_TEXT not in page
    assert "1 February 2026" in (await browser.get("/console/reports")).text
    assert "Nothing needs your attention." in (await browser.get("/console")).text
    confirmation = (await browser.get(f"{path}/submission/clear")).text
    assert "<h1>Is the report 2026 not handed in after all?</h1>" in confirmation
    assert "<li>Version 2, handed in on 1 February 2026. Reference:" in confirmation
    assert "Version 2 was handed in" in (await browser.get(path)).text
    response = await browser.submit(f"{path}/submission/clear", revision=read_revision(confirmation))
    assert parse_path(response) == path
    page = (await browser.get(response.headers["location"])).text
    assert "Version 2 is no longer marked as handed in." in page
    assert "Version 2 was handed in" not in page


async def test_new_version_is_checked_first_and_shows_its_counts_and_deviations(
    open_browser: OpenBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    browser, auditor = open_browser(), open_browser()
    await browser.sign_in(tenant.coordinator)
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    async with run_worker():
        path = await make_report(browser)
        call = activity_factory.create_activity(mentor, activity_type="telefonsamtale")
        long = activity_factory.create_activity(
            mentor, starts_at=datetime(2026, 6, 1, 9, tzinfo=UTC), ends_at=datetime(2026, 6, 3, 9, tzinfo=UTC)
        )
        assert f'href="{path}/versions/check"' in (await browser.get(path)).text
        check = (await browser.get(f"{path}/versions/check")).text
        assert "Check the new version of the report 2026" in check
        assert re.search(r"Activities in the period</dt><dd>3<", check)
        assert "<h3>What differs from version 1</h3>" in check
        assert "<li>Activities in the period: 1 → 3</li>" in check
        assert "<li>Count towards the grant:" in check
        assert f"/console/activities/{long}" in check
        assert (await auditor.get(f"{path}/versions/check")).status_code == 403
        fields = {name: read_field(check, name) for name in ("key", "source")}
        job = parse_path(await browser.submit(f"{path}/versions", **fields, reason="A call"))
        page = await wait_for_text(browser, job, "Version 2 of the report is ready.")
    for text in ("Activities in the period</dt><dd>3<", "Do not count</dt><dd>1<", "This kind of activity does not"):
        assert text in page
    assert f"/console/activities/{long}" in page
    link = re.search(r'href="(/console/activities[^"]+cause=not-countable)"', page)
    assert link is not None
    assert str(call) in (await browser.get(link[1].replace("&amp;", "&"))).text
    report = (await browser.get(path)).text
    assert f'href="{job}"' in report
    first = re.search(r'href="(/console/exports/[0-9a-f-]{36})"', report)
    assert first is not None
    assert "This is version 1. Version 2, made on" in (await browser.get(first[1])).text
    submission = {"submitted_on": "2026-02-01", "submitted_version": "2", "revision": read_revision(report)}
    await browser.submit(f"{path}/submission", **submission)
    for reader in (browser, auditor):
        assert "Version 2 was handed in to Bufdir on 1 February 2026." in (await reader.get(first[1])).text


async def test_download_of_a_version_is_recorded_with_its_number(
    open_browser: OpenBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    browser, auditor = open_browser(), open_browser()
    await browser.sign_in(tenant.coordinator)
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    async with run_worker():
        path = await make_report(browser)
        activity_factory.create_activity(mentor)
        job = parse_path(await browser.submit(f"{path}/versions", source="current_data", key=str(uuid4())))
        await wait_for_text(browser, job, "Version 2 of the report is ready.")
    assert (await browser.get(f"{job}/file")).status_code == 303
    page = (await auditor.http.get("/console/audit", params={"event": "file_downloaded"})).text
    assert re.search(r"File downloaded.*?version: 2", page.split("<tbody>")[1], re.DOTALL)
    issued = (await auditor.http.get("/console/audit", params={"event": "link_issued"})).text
    assert "There are no such events." in issued


async def test_hand_in_is_in_the_future_from_the_next_day_in_oslo(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await browser.sign_in(tenant.coordinator)
    async with run_worker():
        path = await make_report(browser)
    for days, is_in_future in ((0, False), (2, True)):
        day = datetime.now(OSLO).date() + timedelta(days=days)
        page = (await browser.get(path)).text
        await browser.submit(f"{path}/submission", revision=read_revision(page), submitted_on=day.isoformat())
        assert ("This day is in the future." in (await browser.get(path)).text) is is_in_future


async def test_file_that_was_handed_in_is_deleted_only_with_the_box_ticked(
    open_browser: OpenBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    coordinator, admin = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    await admin.sign_in(tenant.users[Role.ADMIN])
    async with run_worker():
        path = await make_report(coordinator)
    page = (await coordinator.get(path)).text
    match = re.search(r'href="(/console/exports/[0-9a-f-]+)"', page)
    assert match is not None
    fields = {"revision": read_revision(page), "submitted_on": "2026-02-01", "submitted_version": "1"}
    refused = await coordinator.submit(f"{path}/submission", **fields, grant_year="2026")
    assert (refused.status_code, "after the year of the period" in refused.text) == (422, True)
    assert (await coordinator.submit(f"{path}/submission", **fields, grant_year="2029")).status_code == 303
    assert "at least until 31 December 2034" in (await coordinator.get(path)).text

    deletion = f"{match[1]}/delete"
    assert "Version 1 of the report was handed in to Bufdir" in (await admin.get(deletion)).text
    refused = await admin.submit(deletion)
    assert (refused.status_code, "Tick the box" in refused.text) == (409, True)
    assert (await admin.submit(deletion, confirm="yes")).status_code == 422
    assert (await admin.submit(deletion, confirm="handed_in")).status_code == 303
    page = (await coordinator.get(path)).text
    assert "Its file was deleted on" in page
    assert "at least until" not in page
    assert "No longer stored since" in page
    assert re.search(r"SHA-256: <span class=\"code hash\">[0-9a-f]{64}", page)
    assert "Handed in on 1 February 2026" in page


async def test_stale_form_does_not_overwrite_a_submission(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await browser.sign_in(tenant.coordinator)
    async with run_worker():
        path = await make_report(browser)
    revision = read_revision((await browser.get(path)).text)
    fields = {"revision": revision, "submitted_on": "2026-02-01"}
    first = await browser.submit(f"{path}/submission", **fields, submitted_reference="first")
    second = await browser.submit(f"{path}/submission", **fields, submitted_reference="second")
    assert (first.status_code, second.status_code) == (303, 409)
    assert "Another user was faster" in second.text
    page = (await browser.get(path)).text
    assert ("Reference: first" in page, "This day is in the future." in page) == (True, False)
    later = {"revision": read_revision(page), "submitted_on": f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"}
    assert (await browser.submit(f"{path}/submission", **later)).status_code == 303
    assert "This day is in the future." in (await browser.get(path)).text


@pytest.mark.parametrize(
    ("form", "fields", "text"),
    [
        ("submission", {"revision": "0", "submitted_on": "2027-02-30"}, "Enter a date that exists"),
        ("submission", {"revision": "0", "submitted_on": "2999-01-01"}, "more than a year in the future"),
        (
            "submission",
            {"revision": "0", "submitted_on": "2026-02-01", "submitted_reference": "x" * 201},
            "at most 200",
        ),
        ("versions", {"source": "current_data", "reason": "x" * 501}, "at most 500"),
        ("versions", {"source": "nowhere"}, "Check this field."),
    ],
)
async def test_invalid_form_of_a_report_is_shown_again(
    browser: ConsoleBrowser,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    form: str,
    fields: dict[str, str],
    text: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await browser.sign_in(tenant.coordinator)
    async with run_worker():
        path = await make_report(browser)
    response = await browser.submit(f"{path}/{form}", **fields)
    assert response.status_code == 422
    assert text in response.text
    assert (await verify(browser, path)).status_code == 422
    assert (await verify(browser, path, sha256="x")).status_code == 422


async def test_report_of_another_organisation_or_without_token_is_refused(
    open_browser: OpenBrowser,
    tenant: Tenant,
    other_tenant: Tenant,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    owner, stranger, auditor = open_browser(), open_browser(), open_browser()
    await owner.sign_in(tenant.coordinator)
    await stranger.sign_in(other_tenant.coordinator, "two")
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    async with run_worker():
        path = await make_report(owner)
    forms = {
        "submission": {"revision": "0", "submitted_on": "2026-02-01"},
        "submission/clear": {"revision": "0"},
        "versions": {"source": "current_data", "key": "x"},
    }
    assert (await stranger.get(path)).status_code == 404
    assert (await verify(stranger, path, b"x")).status_code == 404
    for form, fields in forms.items():
        assert (await stranger.submit(f"{path}/{form}", **fields)).status_code == 404, form
        assert (await auditor.submit(f"{path}/{form}", **fields)).status_code == 403, form
        assert (await owner.post(f"{path}/{form}", fields)).status_code == 403, form
    assert "Mark as handed in" not in (await auditor.get(path)).text
