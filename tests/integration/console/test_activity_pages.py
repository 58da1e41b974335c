"""Activities on the console's pages, over HTTP: found, corrected and deleted."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.database.session import Database
from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.bulk import BulkHarness
from tests.support.console_forms import HOSTILE_NAME, parse_path, read_field
from tests.support.console_jobs import start_report, wait_for_text
from tests.support.fixture_types import RunWorker
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
ACTIVITIES = "/console/activities"
START = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
FIELDS = {
    "activity_type": "samtalegruppe",
    "starts_at": "02.03.2026 10:00",
    "duration_minutes": "60",
    "participants": "5",
    "new_participants": "1",
    "place": "Tromsø",
    "in_person": "true",
    "in_norway": "true",
    "revision": "0",
}
Row = tuple[object, ...]


@pytest.fixture
def mentor(activity_factory: ActivityFactory) -> UUID:
    return activity_factory.create_mentor("Kari Nordmann")


@pytest.fixture
def activity_id(activity_factory: ActivityFactory, mentor: UUID) -> UUID:
    return activity_factory.create_activity(mentor, starts_at=START, note="Første møte")


@pytest.fixture
def path(activity_id: UUID) -> str:
    return f"{ACTIVITIES}/{activity_id}"


def fetch_row(owner_url: str, activity_id: UUID) -> Row:
    query = "SELECT starts_at, ends_at, participants, place, in_norway, note, edits, deleted_at FROM activities"
    with psycopg.connect(owner_url) as owner:
        row = owner.execute(f"{query} WHERE id = %s".encode(), [activity_id]).fetchone()
    assert row is not None
    return tuple(row)


async def test_activity_is_corrected_and_the_page_names_the_next_step(
    browser: ConsoleBrowser, tenant: Tenant, path: str, owner_url: str, activity_id: UUID
) -> None:
    await browser.sign_in(tenant.coordinator)
    form = (await browser.get(f"{path}/correct")).text
    assert "Kari Nordmann" in form
    assert "Første møte" not in form
    for name in ("starts_at", "duration_minutes", "participants", "place", "revision"):
        assert read_field(form, name) == FIELDS[name]
    corrected = FIELDS | {"participants": "7", "place": HOSTILE_NAME, "in_norway": "", "event_id": str(uuid4())}
    response = await browser.submit(f"{path}/correct", **corrected)
    assert parse_path(response) == path
    page = (await browser.get(response.headers["location"])).text
    assert "Reports made before do not change." in page
    assert 'href="/console/reports"' in page
    assert (HOSTILE_NAME in page, "&lt;script&gt;" in page, corrected["event_id"] in page) == (False, True, True)
    ends_at = START + timedelta(hours=1)
    assert fetch_row(owner_url, activity_id) == (START, ends_at, 7, HOSTILE_NAME, False, "Første møte", 1, None)


async def test_note_is_replaced_or_removed_without_being_shown(
    browser: ConsoleBrowser, tenant: Tenant, path: str, owner_url: str, activity_id: UUID
) -> None:
    await browser.sign_in(tenant.coordinator)
    await browser.submit(f"{path}/correct", **FIELDS, note="Andre møte")
    assert fetch_row(owner_url, activity_id)[5:7] == ("Andre møte", 1)
    assert "Andre møte" not in (await browser.get(path)).text
    await browser.submit(f"{path}/correct", **FIELDS | {"revision": "1"}, remove_note="true")
    assert fetch_row(owner_url, activity_id)[5:7] == (None, 2)


async def test_form_without_a_change_changes_and_records_nothing(
    browser: ConsoleBrowser, tenant: Tenant, path: str, owner_url: str, activity_id: UUID
) -> None:
    await browser.sign_in(tenant.coordinator)
    before = fetch_row(owner_url, activity_id)
    response = await browser.submit(f"{path}/correct", **FIELDS)
    assert "Nothing was changed" in (await browser.get(response.headers["location"])).text
    assert fetch_row(owner_url, activity_id) == before


async def test_stale_correction_and_deletion_change_nothing_and_lead_back(
    browser: ConsoleBrowser, tenant: Tenant, path: str, owner_url: str, activity_id: UUID
) -> None:
    await browser.sign_in(tenant.coordinator)
    await browser.submit(f"{path}/correct", **FIELDS | {"place": "Bodø"})
    before = fetch_row(owner_url, activity_id)
    for form, fields in (("correct", FIELDS | {"place": "Oslo"}), ("delete", {"revision": "0"})):
        response = await browser.submit(f"{path}/{form}", **fields)
        assert response.status_code == 409
        assert "Another user was faster" in response.text
        assert f'href="{path}"' in response.text
    assert fetch_row(owner_url, activity_id) == before


async def test_correction_to_another_year_or_to_the_future_is_warned_of(
    browser: ConsoleBrowser, tenant: Tenant, path: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    future = datetime.now(UTC).year + 2
    for year, revision, is_in_future in ((2025, "0", False), (future, "1", True)):
        fields = FIELDS | {"starts_at": f"02.03.{year} 10:00", "revision": revision}
        response = await browser.submit(f"{path}/correct", **fields)
        page = (await browser.get(response.headers["location"])).text
        assert f"is now in the report of {year}. Check the year." in page
        assert ("The activity starts in the future." in page) is is_in_future


async def test_activity_without_a_meeting_in_person_needs_no_place(
    browser: ConsoleBrowser, tenant: Tenant, path: str, owner_url: str, activity_id: UUID
) -> None:
    await browser.sign_in(tenant.coordinator)
    await browser.submit(f"{path}/correct", **FIELDS | {"place": "", "in_person": ""})
    assert fetch_row(owner_url, activity_id)[3] == ""


async def test_first_eight_characters_of_an_id_lead_to_the_activity(
    browser: ConsoleBrowser, tenant: Tenant, path: str, activity_id: UUID
) -> None:
    await browser.sign_in(tenant.coordinator)
    response = await browser.http.get(ACTIVITIES, params={"activity": str(activity_id)[:8]})
    assert parse_path(response) == path
    for text, error in ((uuid4().hex[:8], "No activity has an id that begins like this"), ("course", "Enter an id")):
        response = await browser.http.get(ACTIVITIES, params={"activity": text})
        assert (response.status_code, error in response.text) == (422, True)


async def test_activity_that_a_list_leads_to_leads_back_to_that_list(
    browser: ConsoleBrowser, tenant: Tenant, path: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    page = (await browser.http.get(ACTIVITIES, params={"start": "01.03.2026", "end": "31.03.2026"})).text
    link = re.search(rf'href="({path}[^"]*)"', page)
    assert link is not None
    activity = (await browser.get(link[1].replace("&amp;", "&"))).text
    assert f'href="{ACTIVITIES}?start=01.03.2026&amp;end=31.03.2026">Back to the list</a>' in activity
    assert "Back to the list" not in (await browser.get(path)).text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"activity_type": "yoga"}, "Choose a type of activity."),
        ({"starts_at": ""}, "Enter the day and the time at which the activity started"),
        ({"starts_at": "31.12.1900 10:00"}, "Enter the day and the time at which the activity started"),
        ({"duration_minutes": "0"}, "The duration must be from 1 to 20,160 minutes."),
        ({"participants": "100001"}, "The number of participants must be from 0 to 100,000."),
        ({"starts_at": "29.03.2026 02:30"}, "This time does not exist"),
        ({"place": ""}, "Enter where the activity took place."),
        ({"participants": "x"}, "Enter how many participants there were, as a whole number."),
        ({"new_participants": "6"}, "There cannot be more new participants than participants."),
        ({"place": "x" * 201}, "The text is too long."),
        ({"event_id": "course"}, "Enter a complete id"),
        ({"starts_at": "02.03.2026 12:30"}, "The peer mentor has another activity at that time."),
        ({"duration_minutes": "121"}, "The peer mentor has another activity at that time."),
    ],
)
async def test_invalid_correction_is_shown_again_with_its_values_and_its_error(
    browser: ConsoleBrowser,
    tenant: Tenant,
    path: str,
    mentor: UUID,
    activity_factory: ActivityFactory,
    fields: dict[str, str],
    text: str,
) -> None:
    activity_factory.create_activity(mentor, starts_at=START + timedelta(hours=2))
    await browser.sign_in(tenant.coordinator)
    response = await browser.submit(f"{path}/correct", **{"place": "Vadsø", **FIELDS, "participants": "4", **fields})
    assert response.status_code == 422
    assert text in response.text
    ((name, value),) = fields.items()
    if name != "activity_type":
        assert read_field(response.text, name) == value
    assert read_field(response.text, "revision") == "0"


async def test_deletion_is_confirmed_and_leads_to_the_reports(
    browser: ConsoleBrowser, tenant: Tenant, path: str, owner_url: str, activity_id: UUID
) -> None:
    await browser.sign_in(tenant.coordinator)
    question = (await browser.get(f"{path}/delete")).text
    for text in ("Kari Nordmann", "Conversation group", "2 Mar 2026, 10:00"):
        assert text in question
    assert fetch_row(owner_url, activity_id)[-1] is None
    response = await browser.submit(f"{path}/delete", revision=read_field(question, "revision"))
    assert parse_path(response) == "/console/reports"
    assert "The activity is deleted." in (await browser.get(response.headers["location"])).text
    for page in ("", "/correct", "/delete"):
        assert (await browser.get(path + page)).status_code == 404
    assert fetch_row(owner_url, activity_id)[-1] is not None


async def test_list_is_filtered_by_days_in_oslo_and_finds_an_id(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, mentor: UUID
) -> None:
    late, early = (
        activity_factory.create_activity(mentor, starts_at=datetime(2026, 1, 31, hour, 30, tzinfo=UTC))
        for hour in (23, 21)
    )
    await browser.sign_in(tenant.users[Role.AUDITOR])

    async def list_ids(query: str) -> list[str]:
        return re.findall(
            rf'href="{ACTIVITIES}/([0-9a-f-]{{36}})[?"]', (await browser.get(f"{ACTIVITIES}?{query}")).text
        )

    assert await list_ids("") == [str(late), str(early)]
    assert await list_ids("start=2026-02-01") == [str(late)]
    assert await list_ids("end=2026-01-31") == [str(early)]
    assert await list_ids("start=2026-02-01&end=2026-02-01") == [str(late)]
    assert "There are no such activities." in (await browser.get(f"{ACTIVITIES}?end=2025-12-31")).text
    assert parse_path(await browser.get(f"{ACTIVITIES}?activity=%20{early}")) == f"{ACTIVITIES}/{early}"
    for query in ("start=2026-02-30", "activity=x"):
        assert (await browser.get(f"{ACTIVITIES}?{query}")).status_code == 422


async def test_next_page_of_the_list_keeps_the_days(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, mentor: UUID
) -> None:
    first = activity_factory.create_activity(mentor, starts_at=START)
    for _ in range(50):
        activity_factory.create_activity(mentor)
    activity_factory.create_activity(mentor, starts_at=START - timedelta(days=9), place="Vadsø")
    await browser.sign_in(tenant.coordinator)
    match = re.search(r'href="([^"]*page_token[^"]*)"', (await browser.get(f"{ACTIVITIES}?start=2026-03-02")).text)
    assert match is not None
    page = (await browser.get(match[1].replace("&amp;", "&"))).text
    assert (str(first) in page, "Vadsø" in page) == (True, False)


async def test_deviations_and_items_lead_to_the_activities(
    browser: ConsoleBrowser,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    mentor: UUID,
    run_worker: RunWorker,
    api_database: Database,
    worker_database: Database,
) -> None:
    long = activity_factory.create_activity(mentor, starts_at=START, ends_at=START + timedelta(days=2))
    harness = BulkHarness(tenant, api_database, worker_database)
    job = harness.accept([mentor], activity=build_activity("2026-04-02T10:00:00Z"))
    harness.run(job)
    (item,) = harness.list_outcomes(job)
    await browser.sign_in(tenant.coordinator)
    async with run_worker():
        report = await start_report(browser, period="2026")
        page = await wait_for_text(browser, report, "The report is ready.")
    assert f'href="{ACTIVITIES}/{long}"' in page
    assert f'href="{ACTIVITIES}?start=2026-01-01&amp;end=2026-12-31"' in page
    link = f'href="{ACTIVITIES}/{item.activity_id}"'
    assert link in (await browser.get(f"/console/bulk/{job.batch_id}")).text
    await browser.submit(f"{ACTIVITIES}/{item.activity_id}/delete", revision="0")
    batch = (await browser.get(f"/console/bulk/{job.batch_id}")).text
    assert (link in batch, "Registered, and later deleted" in batch) == (False, True)


async def test_reasons_lead_to_their_activities_and_each_states_why_it_does_not_count(
    browser: ConsoleBrowser,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    mentor: UUID,
    activity_id: UUID,
    run_worker: RunWorker,
) -> None:
    call = activity_factory.create_activity(
        mentor, starts_at=START + timedelta(days=1), activity_type="telefonsamtale", place=HOSTILE_NAME
    )
    small = activity_factory.create_activity(mentor, starts_at=START + timedelta(days=2), participants=1)
    days = "start=2026-01-01&amp;end=2026-12-31"
    await browser.sign_in(tenant.coordinator)
    start = (await browser.get("/console?year=2026")).text
    assert f'href="{ACTIVITIES}?{days}&amp;cause=not-countable"' in start
    async with run_worker():
        check = (await browser.get("/console/exports/check?period=2026&export_format=xlsx&locale=nn")).text
        job = await wait_for_text(browser, await start_report(browser, period="2026"), "The report is ready.")
    for page in (check, job):
        links = re.findall(rf'href="({ACTIVITIES}\?{days}&amp;cause=[^"]+)"', page)
        assert len(links) == 3
        listed = [(await browser.get(link.replace("&amp;", "&"))).text for link in links]
        assert [(str(call) in each, str(small) in each, str(activity_id) in each) for each in listed] == [
            (True, False, False),
            (False, True, False),
            (True, True, False),
        ]
    assert HOSTILE_NAME not in listed[0]
    assert "As a report of 2026 would state it now." in listed[0]
    assert listed[0].count("Does not count: This kind of activity does not count") == 1
    page = (await browser.get(f"{ACTIVITIES}/{small}")).text
    assert "In the report of the base year 2026" in page
    assert re.search(r"does not count:</p>\s*<ul>\s*<li>Fewer than 3 participants", page), page
    assert (
        "The activity counts, and nothing is wrong with it." in (await browser.get(f"{ACTIVITIES}/{activity_id}")).text
    )
    await browser.submit(f"{ACTIVITIES}/{small}/correct", **FIELDS | {"starts_at": "04.03.2026 10:00"})
    assert "The activity counts" in (await browser.get(f"{ACTIVITIES}/{small}")).text


async def test_causes_without_a_period_and_without_a_mapping(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, mentor: UUID
) -> None:
    early = activity_factory.create_activity(mentor, starts_at=datetime(2019, 5, 2, 9, tzinfo=UTC))
    call = activity_factory.create_activity(mentor, starts_at=START, activity_type="telefonsamtale")
    await browser.sign_in(tenant.users[Role.AUDITOR])
    assert str(call) in (await browser.get(f"{ACTIVITIES}?end=2026-12-31&cause=not-countable")).text
    assert str(call) not in (await browser.get(f"{ACTIVITIES}?start=2025-01-01&cause=not-countable")).text
    assert (await browser.get(f"{ACTIVITIES}?start=2026-02-02&end=2026-02-01")).status_code == 422
    assert (await browser.get(f"{ACTIVITIES}?cause=left-out&page_token=x")).status_code == 422
    for path in ("?end=2019-12-31&cause=left-out", f"/{early}"):
        assert "column layout cannot be used" in (await browser.get(ACTIVITIES + path)).text
    assert str(early) in (await browser.get(f"{ACTIVITIES}?end=2019-12-31")).text


async def test_activity_of_another_organisation_or_without_the_role_is_refused(
    open_browser: OpenBrowser,
    tenant: Tenant,
    other_tenant: Tenant,
    path: str,
    owner_url: str,
    activity_id: UUID,
) -> None:
    stranger, auditor, owner = open_browser(), open_browser(), open_browser()
    await stranger.sign_in(other_tenant.users[Role.ADMIN], "two")
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    await owner.sign_in(tenant.coordinator)
    before = fetch_row(owner_url, activity_id)
    changed = FIELDS | {"place": "Oslo"}
    assert "Kari" not in (await stranger.get(ACTIVITIES)).text
    for page in ("", "/correct", "/delete"):
        assert (await stranger.get(path + page)).status_code == 404
    for form, fields in (("correct", changed), ("delete", {"revision": "0"})):
        assert (await stranger.submit(f"{path}/{form}", **fields)).status_code == 404
        assert (await auditor.submit(f"{path}/{form}", **fields)).status_code == 403
        assert (await auditor.get(f"{path}/{form}")).status_code == 403
        assert (await owner.post(f"{path}/{form}", fields)).status_code == 403
        token = {"form_token": await owner.get_form_token()}
        assert (await owner.post(f"{path}/{form}", fields | token, Origin="https://evil.example")).status_code == 403
    page = (await auditor.get(path)).text
    assert ("Kari Nordmann" in page, f"{path}/correct" in page) == (True, False)
    assert fetch_row(owner_url, activity_id) == before


def build_activity(starts_at: str) -> dict[str, object]:
    fields = {"activity_type": "samtalegruppe", "duration_minutes": 60, "participants": 5, "new_participants": 1}
    return fields | {"starts_at": starts_at, "place": "Oslo", "in_person": True, "in_norway": True}
