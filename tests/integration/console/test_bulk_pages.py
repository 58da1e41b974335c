"""Registering one activity for many peer mentors on the console's pages, over HTTP."""

import re
from collections.abc import Callable
from html import unescape
from uuid import UUID, uuid4

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import parse_path, read_field, upload
from tests.support.console_jobs import wait_for_text
from tests.support.fixture_types import RunWorker
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
ACTIVITY = {
    "activity_type": "samtalegruppe",
    "starts_at": "2026-03-02T10:00",
    "duration_minutes": "60",
    "participants": "5",
    "new_participants": "1",
    "place": "Tromsø",
    "in_person": "true",
    "in_norway": "true",
    "label": "Training day",
}
UPLOAD = "/console/bulk/upload"
HOSTILE_NAME = '<b onload="x">Åse</b>'


def read_hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the page's first form, without its token."""
    form = page.split("<main")[1].split("<form")[1].split("</form>", maxsplit=1)[0]
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in fields if name != "form_token"}


async def test_activity_is_registered_for_searched_mentors_and_corrected(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentors = [activity_factory.create_mentor(f"{HOSTILE_NAME} {number}") for number in range(3)]
    activity_factory.create_mentor("Other")
    other = activity_factory.create_activity(mentors[0])
    await browser.sign_in(tenant.coordinator)
    activity = ACTIVITY | {"starts_at": "2026-01-05T10:00"}  # the time of the other activity of the first mentor
    page = (await browser.submit("/console/bulk/mentors", **activity, page=str(uuid4()))).text
    assert "Other" in page
    assert HOSTILE_NAME not in page
    page = (await browser.submit("/console/bulk/mentors", **read_hidden_fields(page), q="åse", action="all")).text
    assert "3 peer mentors are chosen." in page
    assert "Other" not in page
    boxes = {f"mentor-{mentor}": mentor for mentor in mentors}
    assert all(f'id="{box}"' in page for box in boxes)
    check = (await browser.submit("/console/bulk/check", **read_hidden_fields(page) | {"offered": ""})).text
    assert "2 are in order." in check
    assert "1 has a problem." in check
    assert "2 of them are at events with several peer mentors (1)." in check
    assert ">Register for 2 peer mentors</button>" in check
    assert re.search(
        rf'registered already: <a href="/console/activities/{other}">Conversation group, <time[^>]*>5 Jan', check
    )
    assert check.index("The peer mentor has another activity at that time.") < check.index("In order")
    response = await browser.submit("/console/bulk", **read_hidden_fields(check))
    path = parse_path(response)
    assert parse_path(await browser.submit("/console/bulk", **read_hidden_fields(check))) == path
    async with run_worker():
        page = await wait_for_text(browser, path, "Registered, with failures")
        assert "Training day" in page
        assert f'<a href="/console/activities/{other}">Conversation group' in page
        for text in ("Conversation group</dd>", "5 Jan 2026, 10:00", "Tromsø</bdi>", "Peer mentors</dt><dd>3<"):
            assert text in page.split("What is registered")[1]
        assert "Id of the event</dt>" in page
        corrections = (await browser.get(f"{path}/correct")).text
        assert 'value="05.01.2026 10:00"' in corrections
        match = re.search(r'name="(starts_at-\d+)"', corrections)
        assert match is not None
        unchanged = await browser.submit(f"{path}/correct", **{match[1]: "05.01.2026 10:00"})
        assert (unchanged.status_code, "You have changed nothing" in unchanged.text) == (422, True)
        left_out = {match[1].replace("starts_at", "omit"): "true"}
        nothing = await browser.submit(f"{path}/correct", **{match[1]: "06.01.2026 10:00"}, **left_out)
        assert (nothing.status_code, "You have left out all of them" in nothing.text) == (422, True)
        new_path = parse_path(await browser.submit(f"{path}/correct", **{match[1]: "06.01.2026 10:00"}))
        correction = await wait_for_text(browser, new_path, "All registered")
        assert f'<a href="{path}">This registration corrects an earlier one</a>' in correction
        corrected = (await browser.get(path)).text
        assert f'<a href="{new_path}">Corrected by a later registration</a>' in corrected
        start = (await browser.get("/console")).text
        assert path not in start
    failed = await browser.get(f"{path}/failed.csv")
    assert "overlapping_activity" in failed.text


async def test_ticked_mentors_stay_chosen_until_they_are_unticked(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    first, second = activity_factory.create_mentor("First"), activity_factory.create_mentor("Second")
    await browser.sign_in(tenant.coordinator)

    async def submit(**fields: str) -> str:
        return (await browser.submit("/console/bulk/mentors", **ACTIVITY, **fields)).text

    def read_chosen(page: str) -> set[UUID]:
        return {UUID(text) for text in read_hidden_fields(page)["mentors"].split()}

    page = await submit(q="First", offered=f"{first} {second}", mentor=str(first))
    assert read_chosen(page) == {first}
    page = await submit(q="Second", offered=str(first), mentors=str(first), mentor=str(first))
    page = await submit(q="", offered=str(second), mentors=str(first), mentor=str(second))
    assert read_chosen(page) == {first, second}
    page = await submit(offered=f"{first} {second}", mentors=f"{first} {second}", mentor=str(second))
    assert read_chosen(page) == {second}
    assert read_chosen(await submit(mentors=f"{first} {second}", action="none")) == set()


async def test_all_mentors_of_a_branch_are_chosen(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    oslo = [activity_factory.create_mentor(f"Kari {number}", branch="Oslo") for number in range(60)]
    ola, elsewhere = (
        activity_factory.create_mentor(name, branch=branch) for name, branch in (("Ola", "Oslo"), ("Per", "Bergen"))
    )
    activity_factory.create_mentor("Kari inactive", branch="Oslo", active=False)
    await browser.sign_in(tenant.coordinator)

    async def choose(**fields: str) -> set[UUID]:
        page = (await browser.submit("/console/bulk/mentors", **ACTIVITY, **fields)).text
        return {UUID(text) for text in read_hidden_fields(page)["mentors"].split()}

    assert await choose(branch="Oslo", action="all") == {*oslo, ola}
    assert await choose(branch="Oslo", q="kari", action="all") == set(oslo)
    assert await choose(branch="Bergen", action="all", mentors=str(ola)) == {ola, elsewhere}
    page = (await browser.submit("/console/bulk/mentors", **ACTIVITY, branch="Bergen")).text
    assert '<option value="Oslo">' in page
    assert "Active peer mentors of Bergen" in page
    assert (f"mentor-{elsewhere}" in page, f"mentor-{ola}" in page) == (True, False)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"starts_at": ""}, "Enter the day and the time at which the activity started"),
        ({"starts_at": "05.01.2026"}, "Enter the day and the time at which the activity started"),
        ({"participants": "many"}, "Enter how many participants there were, as a whole number."),
        ({"duration_minutes": "0"}, "The duration must be from 1 to 20,160 minutes."),
        ({"starts_at": "29.03.2026 02:30"}, "This time does not exist"),
        ({"new_participants": "6"}, "There cannot be more new participants than participants."),
        ({"place": ""}, "Enter where the activity took place."),
        ({"place": "x" * 32_000}, "The text is too long."),
    ],
)
async def test_invalid_activity_is_shown_again_with_its_error(
    browser: ConsoleBrowser, tenant: Tenant, fields: dict[str, str], text: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    for path in ("/console/bulk/mentors", "/console/bulk/check", "/console/bulk"):
        response = await browser.submit(path, **ACTIVITY | fields)
        assert response.status_code == 422
        assert text in response.text
        assert "Register for many: the activity" in response.text


async def test_check_without_mentors_leads_back_to_the_choice(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    for path in ("/console/bulk/check", "/console/bulk"):
        response = await browser.submit(path, **ACTIVITY, mentors="x")
        assert response.status_code == 422
        assert "Choose at least one peer mentor." in response.text


async def test_file_is_checked_and_registered(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor("Åse")
    columns = (
        "mentor_id;activity_type;starts_at;duration_minutes;participants;new_participants;place;in_person;in_norway"
    )
    line = ";samtalegruppe;02.03.2026 10:00;60;5;1;Tromsø;ja;ja"
    content = f"{columns}\r\n{mentor}{line}\r\n{uuid4()}{line}\r\n".encode()
    await browser.sign_in(tenant.coordinator)

    refused = (await upload(browser, UPLOAD, b"mentor\r\n", label="Kurs")).text
    assert "Line 1: Column 1 has an unknown name." in refused
    assert read_field(refused, "label") == "Kurs"
    check = (await upload(browser, UPLOAD, content, label="Kurs")).text
    assert "1 is in order." in check
    assert "The organisation has no such peer mentor." in check
    carried = {name: read_field(check, name) for name in ("key", "label", "carried")}
    path = parse_path(await upload(browser, UPLOAD, None, action="register", **carried))
    assert parse_path(await upload(browser, UPLOAD, None, action="register", **carried)) == path
    assert "Kurs" in (await browser.get(path)).text
    async with run_worker():
        await wait_for_text(browser, path, "Registered, with failures")


async def test_every_wrong_field_of_an_item_is_named_with_its_value_and_corrected(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    first = activity_factory.create_mentor("Åse")
    activity_factory.create_mentor("Kari Nordmann")
    activity_factory.create_mentor("Twice")
    activity_factory.create_mentor("Twice")
    columns = ";".join(("mentor_id", *(name for name in ACTIVITY if name != "label"), "note"))
    lines = (
        f"{first};yoga;02.03.2026 10:00;0;many;1;{'x' * 201};perhaps;ja;secret",
        f"{first};samtalegruppe;03.03.2026 10:00;60;2;5;Oslo;ja;ja;",
        f"{uuid4()};samtalegruppe;04.03.2026 10:00;0;5;1;Oslo;ja;ja;",
    )
    content = "\r\n".join([f"client_ref;{columns}", *(f"{n};{line}" for n, line in enumerate(lines)), ""]).encode()
    await browser.sign_in(tenant.coordinator)
    check = unescape((await upload(browser, UPLOAD, content, label="")).text)
    for text in (
        "(line 2)",
        "Type of activity: “yoga” is not a type of activity; possible are Outreach",
        "Duration in minutes: “0” must be at least 1.",
        "Participants: “many” must be a whole number.",
        f"Place: “{'x' * 40}…” must have at most 200 characters.",
        "The participants met in person: “perhaps” must be true or false",
        "(line 3)",
        "There cannot be more new participants than participants.",
        "The organisation has no such peer mentor. Duration in minutes: “0” must be at least 1.",
    ):
        assert text in check, text
    assert "secret" not in check
    assert 'value="register"' not in check  # nothing would be registered
    carried = {name: read_field(check, name) for name in ("key", "label", "carried")}
    path = parse_path(await upload(browser, UPLOAD, None, action="register", **carried))
    async with run_worker():
        page = await wait_for_text(browser, path, "Failed: nothing was registered")
        assert "Duration in minutes: “0” must be at least 1." in page
        form = (await browser.get(f"{path}/correct")).text
        assert (read_field(form, "duration_minutes-0"), read_field(form, "participants-1")) == ("0", "2")
        assert "number 3 of the registration" in form
        assert "starts_at-" not in form  # no start is wrong, and none overlaps
        fields = {
            "activity_type-0": "samtalegruppe",
            "duration_minutes-0": "60",
            "participants-0": "5",
            "place-0": "Tromsø",
            "in_person-0": "yes",
            "participants-1": "5",
            "new_participants-1": "2",
            "mentor-2": "kari nordmann",
            "duration_minutes-2": "60",
        }
        for name, value, text in (
            ("duration_minutes-0", "0", "The duration must be from 1 to 20,160 minutes."),
            ("participants-0", "", "Enter how many participants there were"),
            ("in_person-0", "x", "Choose yes or no."),
            ("activity_type-0", "", "Choose a type of activity."),
            ("new_participants-1", "6", "There cannot be more new participants than participants."),
            ("mentor-2", "Twice", "Enter the id of a peer mentor, or the complete name"),
            ("mentor-2", "", "Enter the id of a peer mentor, or the complete name"),
        ):
            refused = await browser.submit(f"{path}/correct", **fields | {name: value})
            assert (refused.status_code, text in refused.text) == (422, True), name
            assert f'href="#{name}"' in refused.text
        corrected = parse_path(await browser.submit(f"{path}/correct", **fields))
        page = await wait_for_text(browser, corrected, "All registered")
    assert page.count("Kari Nordmann") == 1
    links = re.findall(r'href="(/console/activities/[0-9a-f-]{36})"', page)
    assert len(links) == 3
    activities = [(await browser.get(link)).text for link in links]
    assert [text for text in ("2 Mar", "3 Mar", "4 Mar") if any(text in page for page in activities)] == [
        *("2 Mar", "3 Mar", "4 Mar")
    ]


async def test_template_has_the_active_mentors_and_is_registered_when_filled_in(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor("Åse")
    activity_factory.create_mentor("Inactive", active=False)
    await browser.sign_in(tenant.coordinator)
    template = await browser.get("/console/bulk/template.csv")
    assert template.headers["Content-Disposition"] == 'attachment; filename="template.csv"'
    header, line = template.content.decode("utf-8-sig").splitlines()
    assert (line.count(str(mentor)), line.endswith("Åse")) == (1, True)
    values = dict(zip(header.split(";"), line.split(";"), strict=True))
    values |= {name: ACTIVITY[name] for name in ("duration_minutes", "participants", "new_participants", "place")}
    values |= {"activity_type": "Samtalegruppe", "starts_at": "02.03.2026 10:00", "in_person": "ja", "in_norway": "nei"}
    content = f"{header}\r\n{';'.join(values.values())}\r\n".encode()
    assert "1 is in order." in (await upload(browser, UPLOAD, content, label="")).text


async def test_upload_page_describes_every_column_of_the_template(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    template = (await browser.get("/console/bulk/template.csv")).content.decode("utf-8-sig")
    page = (await browser.get(UPLOAD)).text
    columns = re.findall(r'<dt class="code">(\w+)</dt><dd>[^<]{10,}</dd>', page)
    assert columns == template.strip().split(";")


async def test_failed_batch_is_deleted_by_an_administrator_after_a_confirmation(
    open_browser: OpenBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    coordinator, admin = open_browser(), open_browser()
    await coordinator.sign_in(tenant.coordinator)
    await admin.sign_in(tenant.users[Role.ADMIN])
    mentor = activity_factory.create_mentor(active=False)
    path = parse_path(await coordinator.submit("/console/bulk", **ACTIVITY, mentors=str(mentor)))
    assert (await admin.submit(f"{path}/delete")).status_code == 409  # it has not ended
    async with run_worker():
        page = await wait_for_text(coordinator, path, "Failed: nothing was registered")
    assert f"{path}/delete" not in page
    assert (await coordinator.get(f"{path}/delete")).status_code == 403
    assert (await coordinator.submit(f"{path}/delete")).status_code == 403
    assert f"{path}/delete" in (await admin.get(path)).text
    assert "<h1>Delete the registration?</h1>" in (await admin.get(f"{path}/delete")).text
    assert path in (await admin.get("/console")).text
    assert parse_path(await admin.submit(f"{path}/delete")) == "/console/bulk"
    assert (await admin.get(path)).status_code == 404
    assert "Nothing needs your attention." in (await coordinator.get("/console")).text


async def test_registered_activity_does_not_lead_to_a_deleted_batch(
    open_browser: OpenBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    admin = open_browser()
    await admin.sign_in(tenant.users[Role.ADMIN])
    mentor = activity_factory.create_mentor()
    path = parse_path(await admin.submit("/console/bulk", **ACTIVITY, mentors=str(mentor)))
    async with run_worker():
        match = re.search(r"/console/activities/[0-9a-f-]+", await wait_for_text(admin, path, "All registered"))
    assert match is not None
    assert f'href="{path}"' in (await admin.get(match[0])).text
    await admin.submit(f"{path}/delete")
    page = (await admin.get(match[0])).raise_for_status().text
    assert path not in page


async def test_batch_of_another_organisation_or_without_token_is_refused(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    owner, stranger, auditor = open_browser(), open_browser(), open_browser()
    await owner.sign_in(tenant.coordinator)
    await stranger.sign_in(other_tenant.coordinator, "two")
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    path = parse_path(await owner.submit("/console/bulk", **ACTIVITY, mentors=str(mentor)))
    for suffix in ("", "/events", "/failed.csv", "/cancel", "/correct", "/delete"):
        assert (await stranger.get(path + suffix)).status_code == 404, suffix
    for action in ("cancel", "retry", "correct", "delete"):
        assert (await stranger.submit(f"{path}/{action}", attempt="1")).status_code == 404, action
        assert (await auditor.submit(f"{path}/{action}", attempt="1")).status_code == 403, action
        assert (await owner.post(f"{path}/{action}", {"form_token": "x"})).status_code == 403, action
    for form in ("mentors", "check", "new"):
        assert (await owner.post(f"/console/bulk/{form}", ACTIVITY)).status_code == 403, form
    assert path not in (await stranger.get("/console/bulk")).text
    assert "Waiting to start" in (await owner.get(path)).text
    assert (await owner.submit(f"{path}/cancel")).status_code == 303
