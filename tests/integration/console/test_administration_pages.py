"""Members, API keys and the organisation on the console's pages, over HTTP."""

import re
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import HOSTILE_NAME, execute, parse_path, read_field
from tests.support.console_jobs import start_report
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
ADMIN, MEMBERS, KEYS = "/console/admin", "/console/admin/members", "/console/admin/api-keys"
KEY_FIELDS = {"name": "Nightly", "role": "coordinator", "days": "90"}


def find_member(page: str, name: str) -> str:
    """Return the path of the member's page."""
    match = re.search(rf'href="({MEMBERS}/[0-9a-f-]+)"><bdi>{re.escape(name)}', page)
    assert match is not None, page
    return match[1]


async def test_member_is_invited_once_gets_another_role_and_is_removed(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    fields = {"address": f" new@{tenant.org_id}.example ", "display_name": HOSTILE_NAME, "role": "coordinator"}
    assert parse_path(await browser.submit(MEMBERS, **fields)) == MEMBERS
    repeated = await browser.submit(MEMBERS, **fields)
    assert repeated.status_code == 422
    assert "The address belongs to a member already." in repeated.text
    page = (await browser.get(f"{MEMBERS}?notice=invited")).text
    assert "the invitation is on its way" in page
    assert HOSTILE_NAME not in page
    assert page.count(f"new@{tenant.org_id}.example") == 1
    path = find_member(page, "&lt;script&gt;")
    assert "Invited" in (await browser.get(path)).text
    assert parse_path(await browser.submit(f"{path}/role", role="auditor")) == MEMBERS
    assert "<dd>Auditor</dd>" in (await browser.get(path)).text
    confirmation = (await browser.get(f"{path}/remove")).text
    assert "Remove \N{FIRST STRONG ISOLATE}&lt;script&gt;" in confirmation
    assert parse_path(await browser.submit(f"{path}/remove")) == MEMBERS
    assert (await browser.submit(f"{path}/remove")).status_code == 404
    assert (await browser.get(path)).status_code == 404


async def test_last_administrator_can_be_neither_removed_nor_demoted(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    path = f"{MEMBERS}/{tenant.users[Role.ADMIN]}"
    for form, fields in (("role", {"role": "auditor"}), ("remove", {})):
        response = await browser.submit(f"{path}/{form}", **fields)
        assert response.status_code == 422
        assert "The organisation needs at least one administrator." in response.text
    assert "<dd>Administrator</dd>" in (await browser.get(path)).text


async def test_administrator_who_gives_up_the_role_is_led_to_the_start(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    await browser.submit(f"{MEMBERS}/{tenant.coordinator}/role", role="admin")
    response = await browser.submit(f"{MEMBERS}/{tenant.users[Role.ADMIN]}/role", role="coordinator")
    assert parse_path(response) == "/console"
    assert (await browser.get(ADMIN)).status_code == 403


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"address": "", "role": "auditor"}, "Enter an email address"),
        ({"address": "kari", "role": "auditor"}, "Enter an email address"),
        ({"address": "x" * 32_000 + "@x.example", "role": "auditor"}, "The text is too long."),
        ({"address": "kari@x.example"}, "Choose a role."),
        ({"address": "kari@x.example", "role": "operator"}, "Choose a role."),
        ({"address": "kari@x.example", "role": "admin", "display_name": "x" * 201}, "The text is too long."),
    ],
)
async def test_invalid_invitation_is_shown_again_with_its_error(
    browser: ConsoleBrowser, tenant: Tenant, fields: dict[str, str], text: str
) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    response = await browser.submit(MEMBERS, **fields)
    assert response.status_code == 422
    assert text in response.text


async def test_key_is_made_once_and_its_secret_shown_once(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    fields = KEY_FIELDS | {"name": HOSTILE_NAME, "page": read_field((await browser.get(f"{KEYS}/new")).text, "page")}
    made = await browser.submit(KEYS, **fields)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    match = re.search(r"stafett_[\w-]{43}", made.text)
    assert match is not None
    me = await browser.http.get("/api/v1/me", headers={"Authorization": f"Bearer {match[0]}"})
    assert me.json()["role"] == "coordinator"
    repeated = await browser.submit(KEYS, **fields)
    assert repeated.status_code == 409
    assert "The secret was shown already" in repeated.text
    page = (await browser.get(KEYS)).text
    assert page.count("/revoke") == 1
    assert "stafett_" not in page + repeated.text
    assert HOSTILE_NAME not in page
    assert "<time" in page.split("Coordinator</td>")[1].split("</tr>")[0].split("</td>")[1]
    revocation = re.search(rf"{KEYS}/[0-9a-f-]+/revoke", page)
    assert revocation is not None
    assert "Revoke the key \N{FIRST STRONG ISOLATE}&lt;script&gt;" in (await browser.get(revocation[0])).text
    assert parse_path(await browser.submit(revocation[0])) == KEYS
    assert (await browser.submit(revocation[0])).status_code == 404
    assert (await browser.get(revocation[0])).status_code == 404
    assert "The organisation has no keys." in (await browser.get(KEYS)).text
    again = await browser.http.get("/api/v1/me", headers={"Authorization": f"Bearer {match[0]}"})
    assert again.status_code == 401


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": " "}, "Enter a name."),
        ({"name": "x" * 32_000}, "The text is too long."),
        ({"name": "a\rb"}, "The text must be one line without control characters."),
        ({"role": "operator"}, "Choose a role."),
        ({"days": "10000"}, "Check this field."),
    ],
)
async def test_invalid_key_is_shown_again_with_its_error(
    browser: ConsoleBrowser, tenant: Tenant, fields: dict[str, str], text: str
) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    response = await browser.submit(KEYS, **KEY_FIELDS | fields)
    assert response.status_code == 422
    assert text in response.text


async def test_organisation_is_renamed(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    assert (await browser.submit(f"{ADMIN}/organisation", name=" ")).status_code == 422
    assert parse_path(await browser.submit(f"{ADMIN}/organisation", name=HOSTILE_NAME)) == ADMIN
    page = (await browser.get(ADMIN)).text
    assert HOSTILE_NAME not in page
    assert "What administrators of \N{FIRST STRONG ISOLATE}&lt;script&gt;" in page


async def test_erasure_page_counts_what_there_is_about_a_mentor(
    browser: ConsoleBrowser,
    tenant: Tenant,
    other_tenant: Tenant,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    owner_url: str,
) -> None:
    mentor, other = (activity_factory.create_mentor(name) for name in (HOSTILE_NAME, "Other"))
    for note in ("Private", "Secret", None):
        activity = activity_factory.create_activity(mentor, note=note)
    activity_factory.create_activity(other, note="Not counted")
    activity_factory.create_attachment(storage, activity)
    await browser.sign_in(tenant.users[Role.ADMIN])
    for period in ("2026", "2024"):
        await start_report(browser, period=period)
    page = (await browser.get(f"{ADMIN}/erasure?mentor={mentor}")).text
    assert f"stafett erase-person --org {tenant.org_id} --mentor {mentor} --dry-run" in page
    assert [int(text) for text in re.findall(r"<dd>(\d+)</dd>", page)] == [3, 2, 1, 0, 1]
    assert HOSTILE_NAME not in page
    strangers = ActivityFactory(owner_url, other_tenant.org_id).create_mentor()
    for unknown in (uuid4(), strangers):
        assert (await browser.get(f"{ADMIN}/erasure?mentor={unknown}")).status_code == 404


async def test_erasure_is_explained_with_the_command_for_the_person(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    person = uuid4()
    assert f"--user {person}" in (await browser.get(f"{ADMIN}/erasure?user={person}")).text
    assert (await browser.get(f"{ADMIN}/erasure?user=x")).status_code == 422


PAGES = ("", "/organisation", "/erasure", "/members", "/members/new", "/api-keys", "/api-keys/new")


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.AUDITOR])
async def test_other_roles_may_not_administer(browser: ConsoleBrowser, tenant: Tenant, role: Role) -> None:
    await browser.sign_in(tenant.users[role])
    assert "/console/admin" not in (await browser.get("/console")).text
    member = f"/members/{tenant.coordinator}"
    for page in (*PAGES, member, f"{member}/remove", f"/api-keys/{uuid4()}/revoke"):
        assert (await browser.get(ADMIN + page)).status_code == 403, page
    for form in ("/organisation", "/members", "/api-keys", f"{member}/role", f"{member}/remove"):
        assert (await browser.submit(ADMIN + form, role="admin", name="x")).status_code == 403, form


async def test_objects_of_another_organisation_or_forms_without_token_are_refused(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant, owner_url: str
) -> None:
    owner, stranger = open_browser(), open_browser()
    await owner.sign_in(tenant.users[Role.ADMIN])
    await stranger.sign_in(other_tenant.users[Role.ADMIN], "two")
    await owner.submit(KEYS, **KEY_FIELDS)
    key = re.search(rf"{KEYS}/[0-9a-f-]+/revoke", (await owner.get(KEYS)).text)
    assert key is not None
    member = f"{MEMBERS}/{tenant.coordinator}"
    for page in (member, f"{member}/remove", key[0]):
        assert (await stranger.get(page)).status_code == 404, page
    for form in (f"{member}/role", f"{member}/remove", key[0]):
        assert (await stranger.submit(form, role="auditor")).status_code == 404, form
    for form in (f"{member}/role", f"{member}/remove", key[0], MEMBERS, KEYS, f"{ADMIN}/organisation"):
        assert (await owner.post(form, {"role": "auditor"})).status_code == 403, form
    token = await owner.get_form_token()
    cross_site = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await owner.post(f"{member}/remove", {"form_token": token}, **cross_site)).status_code == 403
    assert "<dd>Coordinator</dd>" in (await owner.get(member)).text
    admin: UUID = tenant.users[Role.ADMIN]
    execute(owner_url, "UPDATE memberships SET role = 'auditor' WHERE user_id = %s", admin)
    response = await owner.post(f"{member}/remove", {"form_token": token})
    assert response.status_code == 403
    assert "Your role does not include this." in response.text
