"""The organisation's audit trail: filters, pages, CSV, and the result of its verification."""

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from uuid import uuid4

import psycopg
import pytest

from stafett.domain.membership import Role
from stafett.domain.reporting_period import OSLO
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import parse_path
from tests.support.console_jobs import start_report
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
PATH = "/console/audit"


def read_rows(page: str) -> list[str]:
    return re.findall(r'<th scope="row" class="number">(\d+)</th>', page)


def read_event_rows(page: str) -> list[str]:
    """Return the rows of the table of events."""
    return page.split("<tbody>")[1].split("</tbody>", maxsplit=1)[0].split("<tr>")[1:]


async def open_auditor(open_browser: OpenBrowser, tenant: Tenant) -> ConsoleBrowser:
    auditor = open_browser()
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    return auditor


async def test_events_are_filtered_by_job_event_actor_and_period(open_browser: OpenBrowser, tenant: Tenant) -> None:
    coordinator = open_browser()
    await coordinator.sign_in(tenant.coordinator)
    first, second = await start_report(coordinator), await start_report(coordinator)
    await coordinator.submit(f"{first}/cancel")
    auditor = await open_auditor(open_browser, tenant)
    assert read_rows((await auditor.get(PATH)).text) == ["3", "2", "1"]
    today = datetime.now(OSLO).date()
    tomorrow = today + timedelta(days=1)
    for query, expected in (
        (f"job={first.rpartition('/')[2]}", ["3", "1"]),
        (f"job={second.rpartition('/')[2]}", ["2"]),
        (f"job={first.rpartition('/')[2][:8].upper()}", ["3", "1"]),
        (f"job={second.rpartition('/')[2][:15]}", ["2"]),
        (f"job={uuid4()}", []),
        (f"actor={str(tenant.coordinator)[:8]}", ["3", "2", "1"]),
        (f"actor=user:{str(tenant.coordinator)[:13]}", ["3", "2", "1"]),
        ("actor=system:worker", []),
        ("event=cancel_requested", ["3"]),
        ("event=export_requested", ["2", "1"]),
        (f"actor=user:{tenant.coordinator}&event=export_requested", ["2", "1"]),
        (f"actor=user:{tenant.users[Role.ADMIN]}", []),
        (f"start={today}&end={tomorrow}", ["3", "2", "1"]),
        (f"start={tomorrow}", []),
        (f"end={today - timedelta(days=1)}", []),
    ):
        page = await auditor.get(f"{PATH}?{query}")
        assert page.status_code == 200, query
        assert read_rows(page.text) == expected, query
        rows = list(csv.reader(io.StringIO((await auditor.get(f"{PATH}/events.csv?{query}")).text), delimiter=";"))
        assert [row[0] for row in rows[1:]] == expected, query


async def test_events_name_members_jobs_and_what_changed(
    open_browser: OpenBrowser, tenant: Tenant, activity_factory: ActivityFactory, owner_url: str
) -> None:
    coordinator, admin = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    await admin.sign_in(tenant.users[Role.ADMIN])
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE users SET display_name = '<b>Kari</b>' WHERE id = %s", [tenant.coordinator])
    job = await start_report(coordinator, period="2026")
    mentor = activity_factory.create_mentor("Ola")
    activity = f"/console/activities/{activity_factory.create_activity(mentor)}"
    fields = {"activity_type": "samtalegruppe", "starts_at": "05.01.2026 10:00", "duration_minutes": "60"}
    fields |= {"participants": "9", "new_participants": "1", "place": "Bodø", "in_norway": "true", "revision": "0"}
    await coordinator.submit(f"{activity}/correct", **fields)
    deleted = f"/console/activities/{activity_factory.create_activity(mentor)}"
    await coordinator.submit(f"{deleted}/delete", revision="0")
    await coordinator.submit(f"/console/mentors/{mentor}/edit", display_name="Per", revision="0")
    await admin.submit("/console/admin/members", address=f"new@{tenant.org_id}.example", role="auditor")
    auditor = await open_auditor(open_browser, tenant)
    page = (await auditor.get(PATH)).text
    assert ("<b>Kari</b>" in page, page.count("&lt;b&gt;Kari&lt;/b&gt;</a>")) == (False, 4)
    invited, edited, deletion, correction, request = map(unescape, read_event_rows(page))
    assert f'Report job: <a href="{job}">Report 2026</a>' in request
    assert "format: CSV" in request
    assert f'<a href="{activity}">Conversation group, 5 Jan 2026, 10:00</a>' in correction
    for text in ("participants", "place", "in person"):
        assert text in correction.split("corrected", 1)[1]
    assert deleted not in deletion
    assert f'<a href="/console/mentors/{mentor}"><bdi>Per</bdi></a>' in edited
    assert "role: Auditor" in invited
    assert "/console/admin/members/" not in invited
    assert "/console/admin/members/" in (await admin.get(PATH)).text
    await admin.submit(f"/console/admin/members/{tenant.coordinator}/remove")
    assert "Former member" in (await auditor.get(PATH)).text


async def test_pages_and_csv_have_every_event_once(open_browser: OpenBrowser, tenant: Tenant, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("SELECT set_config('app.org_id', %s, false)", [tenant.org_id])
        connection.execute(
            "SELECT append_audit_event(gen_random_uuid(), %s, 'system:owner', 'job_seen', 'export', gen_random_uuid(),"
            " NULL, '{}') FROM generate_series(1, 230)",
            [tenant.org_id],
        )
    auditor = await open_auditor(open_browser, tenant)
    seen, path = list[str](), f"{PATH}?event=job_seen"
    while path:
        page = (await auditor.get(path)).text
        seen += read_rows(page)
        link = re.search(r'href="([^"]+)" rel="next"', page)
        path = link[1].replace("&amp;", "&") if link else ""
    assert seen == [str(seq) for seq in range(230, 0, -1)]
    response = await auditor.get(f"{PATH}/events.csv")
    rows = list(csv.reader(io.StringIO(response.text.lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")), delimiter=";"))
    assert [row[0] for row in rows] == ["seq", *seen]
    assert response.headers["content-type"].startswith("text/csv")
    assert {len(row[8]) for row in rows[1:]} == {64}


async def test_verification_is_shown_with_its_checkpoint(
    open_browser: OpenBrowser, tenant: Tenant, owner_url: str
) -> None:
    admin = open_browser()
    await admin.sign_in(tenant.users[Role.ADMIN])
    assert "has not been verified yet" in (await admin.get(PATH)).text
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO audit_verifications VALUES (%s, '2026-03-02 10:00Z', 7, NULL, NULL, 2, '2026-03-02 09:00Z')",
            [tenant.org_id],
        )
    page = (await admin.get(PATH)).text
    assert "from its first event to event 7" in page
    assert "2 Mar 2026, 10:00" in page
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE audit_verifications SET broken_seq = 5, broken_reason = 'x' WHERE org_id = %s", [tenant.org_id]
        )
    assert "event 5 is the first that is not right" in (await admin.get(PATH)).text


async def test_auditor_requests_a_verification_and_sees_that_it_is_coming(
    open_browser: OpenBrowser, tenant: Tenant, owner_url: str
) -> None:
    coordinator = open_browser()
    await coordinator.sign_in(tenant.coordinator)
    await start_report(coordinator)
    auditor = await open_auditor(open_browser, tenant)
    assert "A verification was requested" not in (await auditor.get(PATH)).text
    assert (await coordinator.submit(f"{PATH}/verification")).status_code == 403
    assert (await auditor.post(f"{PATH}/verification", {"form_token": "x"})).status_code == 403
    assert "A verification was requested" not in (await auditor.get(PATH)).text
    assert parse_path(await auditor.submit(f"{PATH}/verification")) == PATH
    page = (await auditor.get(PATH)).text
    assert "A verification was requested" in page
    assert ("data-poll" in page, "console.js" in page) == (True, True)
    with psycopg.connect(owner_url) as connection:  # as the worker does
        connection.execute("DELETE FROM audit_verification_requests WHERE org_id = %s", [tenant.org_id])
    page = (await auditor.get(PATH)).text
    assert ("A verification was requested" in page, "data-poll" in page) == (False, False)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("job=<script>", "Enter an id, or at least its first eight characters."),
        ("job=1234567", "Enter an id, or at least its first eight characters."),
        ("actor=<script>alert(1)</script>", "Enter the first characters of an id"),
        ("event=%27--", "Check this field."),
        ("start=30.02.2026", "Enter a date that exists"),
        ("start=2026-03-02&end=2026-03-01", "The last day is before the first day."),
    ],
)
async def test_invalid_filter_shows_no_event(open_browser: OpenBrowser, tenant: Tenant, query: str, text: str) -> None:
    auditor = await open_auditor(open_browser, tenant)
    page = await auditor.get(f"{PATH}?{query}")
    assert page.status_code == 422
    assert text in page.text
    assert "<script>" not in page.text.split("<main")[1]
    assert read_rows(page.text) == []
    assert (await auditor.get(f"{PATH}/events.csv?{query}")).status_code == 422
    assert (await auditor.get(f"{PATH}?page_token=x")).status_code == 422


async def test_events_are_refused_to_other_roles_and_organisations(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant
) -> None:
    coordinator, stranger = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    path = await start_report(coordinator)
    for suffix in ("", "/events.csv"):
        assert (await coordinator.get(PATH + suffix)).status_code == 403, suffix
        assert (await open_browser().get(PATH + suffix)).status_code == 303, suffix
    await stranger.sign_in(other_tenant.users[Role.AUDITOR], "two")
    page = await stranger.get(f"{PATH}?job={path.rpartition('/')[2]}")
    assert read_rows(page.text) == []
    assert path.rpartition("/")[2] not in (await stranger.get(f"{PATH}/events.csv")).text
    assert PATH not in (await coordinator.get("/console")).text
    assert PATH in (await stranger.get("/console")).text
