"""Peer mentors on the console's pages, over HTTP: list, edit and import."""

import base64
import re
import secrets
import zlib
from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import HOSTILE_NAME, execute, parse_path, read_field, upload
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
MENTORS = "/console/mentors"


async def test_mentor_is_added_once_edited_and_deactivated(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    fields = {"display_name": HOSTILE_NAME, "branch": "Tromsø", "approved_on": "2026-02-01", "active": "true"}
    fields["key"] = read_field((await browser.get(f"{MENTORS}/new")).text, "key")
    path = parse_path(await browser.submit(MENTORS, **fields))
    assert parse_path(await browser.submit(MENTORS, **fields)) == path
    for address in (MENTORS, path, f"{path}/edit"):
        page = (await browser.get(address)).text
        assert HOSTILE_NAME not in page
        assert "&lt;script&gt;" in page
    assert (await browser.get(MENTORS)).text.count(f'href="{path}"') == 1
    edit = (await browser.get(f"{path}/edit")).text
    assert 'value="01.02.2026"' in edit
    assert '<option value="Tromsø"></option>' in (await browser.get(f"{MENTORS}/new")).text  # a branch to choose
    changed = {"display_name": "Kari", "revision": read_field(edit, "revision")}
    assert parse_path(await browser.submit(f"{path}/edit", **changed, active="true")) == path
    page = (await browser.get(path)).text
    assert "<h1>Kari</h1>" in page
    assert "Tromsø" not in page
    assert parse_path(await browser.submit(f"{path}/activity", revision=read_field(page, "revision"))) == path
    assert "Inactive: no activities can be registered" in (await browser.get(path)).text


async def test_stale_edit_changes_nothing_and_leads_back(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    path = f"{MENTORS}/{activity_factory.create_mentor('First')}"
    await browser.sign_in(tenant.coordinator)
    revision = read_field((await browser.get(f"{path}/edit")).text, "revision")
    await browser.submit(f"{path}/edit", display_name="Second", revision=revision)
    response = await browser.submit(f"{path}/edit", display_name="Third", revision=revision)
    assert response.status_code == 409
    assert "Another user was faster" in response.text
    assert f'href="{path}"' in response.text
    assert "<h1>Second</h1>" in (await browser.get(path)).text


async def test_edit_of_the_name_leaves_the_time_of_approval(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    execute(
        activity_factory.owner_url, "UPDATE peer_mentors SET approved_at = '2026-02-01T12:34:00Z' WHERE id = %s", mentor
    )
    await browser.sign_in(tenant.coordinator)
    path = f"{MENTORS}/{mentor}"
    await browser.submit(f"{path}/edit", display_name="Åse", approved_on="2026-02-01", revision="0")
    assert "2026-02-01T12:34:00+00:00" in (await browser.get(path)).text


async def test_list_is_filtered_by_name_branch_and_state(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_mentor("Anne Nord", branch="Nord")
    activity_factory.create_mentor("Anne Sør", branch="Sør", active=False)
    activity_factory.create_mentor("Berit")
    await browser.sign_in(tenant.users[Role.AUDITOR])

    async def list_names(query: str) -> list[str]:
        return re.findall(r"<bdi>(Anne \w+|Berit)</bdi>", (await browser.get(f"{MENTORS}?{query}")).text)

    assert await list_names("") == ["Anne Nord", "Anne Sør", "Berit"]
    assert await list_names("q=anne") == ["Anne Nord", "Anne Sør"]
    assert await list_names("branch=Nord") == ["Anne Nord"]
    assert await list_names("branch=Vest") == []
    options = re.findall(r"<option( selected)?>(\w+)</option>", (await browser.get(f"{MENTORS}?branch=Vest")).text)
    assert options == [(" selected", "Vest"), ("", "Nord"), ("", "Sør")]
    assert await list_names("q=anne&active=no") == ["Anne Sør"]
    assert await list_names("q=%00&active=yes") == ["Anne Nord", "Berit"]
    assert "The search finds no peer mentor." in (await browser.get(f"{MENTORS}?q={'x' * 5000}")).text


async def test_next_page_keeps_the_filters(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    for number in range(51):
        activity_factory.create_mentor(f"Anne {number:02}")
    activity_factory.create_mentor("Berit")
    await browser.sign_in(tenant.coordinator)
    match = re.search(r'href="([^"]*page_token[^"]*)"', (await browser.get(f"{MENTORS}?q=anne")).text)
    assert match is not None
    page = (await browser.get(match[1].replace("&amp;", "&"))).text
    assert "Anne 50" in page
    assert "Berit" not in page


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"display_name": ""}, "Enter a name."),
        ({"display_name": "  "}, "Enter a name."),
        ({"display_name": "x" * 32_000}, "The text is too long."),
        ({"display_name": "a\nb"}, "The text must be one line without control characters."),
        ({"display_name": "x", "branch": "x\0"}, "The text must be one line without control characters."),
        ({"display_name": "x", "approved_on": "2026-02-30"}, "Enter a date that exists"),
        ({"display_name": "x", "approved_on": "1234-01-01"}, "Enter a date that exists"),
    ],
)
async def test_invalid_mentor_is_shown_again_with_its_error(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, fields: dict[str, str], text: str
) -> None:
    path = f"{MENTORS}/{activity_factory.create_mentor()}/edit"
    await browser.sign_in(tenant.coordinator)
    for address in (MENTORS, path):
        response = await browser.submit(address, **fields, revision="0")
        assert response.status_code == 422
        assert text in response.text


ROWS = "Åse;Nord;31.12.2025;ja\r\n;;;\r\n;Sør;;\r\nKari;;x;\r\nKari;;;\r\n"
FILE = f"display_name;branch;approved_at;active\r\n{ROWS}".encode()


async def test_file_is_checked_and_then_imported_once(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    check = (await upload(browser, f"{MENTORS}/import", FILE, action="check")).text
    assert "Nothing is imported yet." in check
    assert check.index("The name is missing") < check.index("<td>In order")
    assert check.index("The day of approval is not a date") < check.index("<td>In order")
    assert "Åse" not in (await browser.get(MENTORS)).text
    fields = {"carried": read_field(check, "carried"), "key": read_field(check, "key"), "action": "import"}
    for _ in range(2):
        assert "2 peer mentors are imported." in (await upload(browser, f"{MENTORS}/import", None, **fields)).text
    page = (await browser.get(MENTORS)).text
    assert (page.count("Åse"), page.count("Kari")) == (1, 1)


async def test_large_file_is_chosen_once(browser: ConsoleBrowser, tenant: Tenant) -> None:
    lines = [f"{number:05};{secrets.token_hex(90)}\n" for number in range(2000)]  # hardly compressible
    content = f"display_name;branch\n{''.join(lines)}".encode()
    await browser.sign_in(tenant.coordinator)
    check = (await upload(browser, f"{MENTORS}/import", content, action="check")).text
    fields = {"carried": read_field(check, "carried"), "key": read_field(check, "key"), "action": "import"}
    assert "2,000 peer mentors are imported." in (await upload(browser, f"{MENTORS}/import", None, **fields)).text


@pytest.mark.parametrize("carried", ["", "x", "eJwDAAAAAAE", base64.b64encode(zlib.compress(bytes(2**24))).decode()])
async def test_carried_file_that_is_damaged_or_too_large_is_no_file(
    browser: ConsoleBrowser, tenant: Tenant, carried: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    for path in (f"{MENTORS}/import", "/console/bulk/upload"):
        response = await upload(browser, path, None, carried=carried)
        assert response.status_code == 422
        assert "Choose a file." in response.text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "Velg en fil."),
        (b"name\nx\n", "Linje 1: Kolonne 1 har et ukjent navn."),
        (b"name\nx\n", "Linje 1: Kolonnen display_name mangler."),
        (b"display_name\n", "Linje 2: Det er ingen linje under overskriftslinjen."),
        (b"display_name;branch\nx\n", "Linje 2: Linjen har et annet antall celler enn overskriftslinjen, som har 2."),
        (b"display_name\n\xff\xfe", "Linje 2: Teksten er ikke i UTF-8."),
        (b";;;;;;;", "Linje 1: Overskriftslinjen har flere kolonner enn de 4 som er kjent."),
    ],
)
async def test_file_that_cannot_be_read_is_refused_with_the_reason_in_the_language_of_the_page(
    browser: ConsoleBrowser, tenant: Tenant, content: bytes, text: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    await browser.get("/console?lang=nb")
    response = await upload(browser, f"{MENTORS}/import", content)
    assert response.status_code == 422
    assert text in response.text


async def test_mentor_of_another_organisation_or_without_token_is_refused(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    path = f"{MENTORS}/{activity_factory.create_mentor('Åse')}"
    owner, stranger, auditor = open_browser(), open_browser(), open_browser()
    await owner.sign_in(tenant.coordinator)
    await stranger.sign_in(other_tenant.coordinator, "two")
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    assert "Åse" not in (await stranger.get(MENTORS)).text
    for page in ("", "/edit"):
        assert (await stranger.get(path + page)).status_code == 404
    fields = {"display_name": "x", "revision": "0"}
    for form in (f"{path}/edit", f"{path}/activity"):
        assert (await stranger.submit(form, **fields)).status_code == 404
        assert (await auditor.submit(form, **fields)).status_code == 403
        assert (await owner.post(form, fields)).status_code == 403
        token = {"form_token": await owner.get_form_token()}
        assert (await owner.post(form, fields | token, Origin="https://evil.example")).status_code == 403
    for page in ("/new", "/import"):
        assert (await auditor.get(MENTORS + page)).status_code == 403
    assert (await auditor.submit(MENTORS, **fields)).status_code == 403
    assert (await owner.get(f"{MENTORS}/{uuid4()}")).status_code == 404
    assert "<h1>Åse</h1>" in (await owner.get(path)).text


async def test_mentor_pages_are_refused_after_the_role_has_changed(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    await browser.sign_in(tenant.coordinator)
    token = await browser.get_form_token()
    execute(
        activity_factory.owner_url, "UPDATE memberships SET role = 'auditor' WHERE user_id = %s", tenant.coordinator
    )
    response = await browser.post(
        f"{MENTORS}/{mentor}/edit", {"display_name": "x", "revision": "0", "form_token": token}
    )
    assert response.status_code == 403
    assert "Your role does not include this." in response.text
    assert urlsplit(str(response.url)).path == f"{MENTORS}/{mentor}/edit"
