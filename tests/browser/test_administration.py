"""The administrator's pages in Chromium: what axe finds on them, and a whole job by keyboard alone."""

import json
import re

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import HOSTILE_NAME
from tests.support.fixture_types import RunWorker
from tests.support.keyboard import Keyboard

ADMIN = "/console/admin"
FILE = "display_name;branch\r\nKari;Nord\r\n;Nord\r\nOla;Sør\r\n".encode()
ADDRESSES = (
    *("/console/mentors", "/console/mentors/new", "/console/mentors/import", "/console/notifications"),
    *(ADMIN, f"{ADMIN}/members", f"{ADMIN}/members/new", f"{ADMIN}/api-keys", f"{ADMIN}/api-keys/new"),
    *(f"{ADMIN}/organisation", f"{ADMIN}/erasure", f"{ADMIN}/webhooks", f"{ADMIN}/webhooks/new"),
    *(f"{ADMIN}/mapping", f"{ADMIN}/mapping/versions/1", f"{ADMIN}/mapping/draft"),
    f"{ADMIN}/mapping/compare?first=1&second=1",
)


async def sign_in(page: Page, origin: str, tenant: Tenant) -> None:
    await page.goto(f"{origin}/console/login/one")
    await page.get_by_role("button", name=f"admin@{tenant.org_id}.example").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Start")


async def find_problems(page: Page) -> dict[tuple[str, str, int], str]:
    """Run axe on the page in light and wide, and in dark and narrow, where nothing may be cut off."""
    problems: dict[tuple[str, str, int], str] = {}
    for scheme, width in (("light", 1280), ("dark", 320)):
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await page.set_viewport_size({"width": width, "height": 900})
        results = await Axe().run(page)
        if results.violations_count:
            problems[page.url, scheme, width] = results.generate_report()
        overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            problems[page.url, "overflow", width] = f"the page is {overflow} px too wide"
    return problems


async def add_objects(page: Page, origin: str) -> None:
    """Add a key and a webhook, so that their lists have rows."""
    await page.goto(f"{origin}{ADMIN}/api-keys/new?lang=en")
    await page.get_by_label("What the key is for").fill(HOSTILE_NAME)
    await page.get_by_role("button", name="Make a key").click()
    await page.goto(f"{origin}{ADMIN}/webhooks/new")
    await page.get_by_label("Address of the receiver").fill("https://93.184.215.14/" + "long/" * 60)
    await page.get_by_role("button", name="Add a webhook").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Secret of the webhook")


async def find_problems_of_drafts(page: Page, origin: str) -> dict[tuple[str, str, int], str]:
    """Check the pages that answer a file: a draft of a mapping, and the rows of an import."""
    document = await (await page.request.get(f"{origin}{ADMIN}/mapping/versions/1/document.json")).json()
    draft = json.dumps(document | {"title": HOSTILE_NAME, "attachments": {"unavailable": "report"}}).encode()
    problems: dict[tuple[str, str, int], str] = {}
    for path, content, button in (
        (f"{ADMIN}/mapping/draft", draft, "Check the draft"),
        ("/console/mentors/import", FILE, "Check the file"),
    ):
        await page.goto(origin + path)
        await page.get_by_label("file", exact=False).set_input_files(
            {"name": "file", "mimeType": "text/plain", "buffer": content}
        )
        await page.get_by_role("button", name=button).click()
        await expect(page.get_by_role("table")).to_be_visible()
        problems |= await find_problems(page)
    return problems


async def test_axe_finds_nothing_on_the_administrators_pages(
    page: Page, origin: str, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor(HOSTILE_NAME, branch="Lokallag " * 20)
    member = f"{ADMIN}/members/{tenant.users[Role.AUDITOR]}"
    await sign_in(page, origin, tenant)
    await add_objects(page, origin)
    problems = await find_problems(page)
    await page.get_by_role("link", name="Webhooks", exact=True).click()
    await expect(page.get_by_role("heading", name="Deliveries")).to_be_visible()
    webhook = page.url.removeprefix(origin)
    objects = (f"/console/mentors/{mentor}", f"/console/mentors/{mentor}/edit", member, f"{member}/remove")
    for address in (*ADDRESSES, *objects, webhook, f"{webhook}/secret"):
        await page.goto(origin + address)
        problems |= await find_problems(page)
    await page.goto(f"{origin}{ADMIN}/members/new")
    await page.get_by_role("button", name="Send the invitation").click()
    await expect(page.get_by_role("heading", name=re.compile("There is a problem"))).to_be_visible()
    problems |= await find_problems(page)
    assert problems | await find_problems_of_drafts(page, origin) == {}


async def choose_file(user: Keyboard, name: str, content: bytes) -> None:
    """Reach the field by keyboard, and choose a file as in the browser's dialog, which is not a part of the page."""
    field = user.page.get_by_label(name)
    await user.focus(field)
    await field.set_input_files({"name": "file", "mimeType": "text/plain", "buffer": content})


async def invite(user: Keyboard, address: str) -> None:
    await user.press("link", "Administrasjon")
    await user.wait_for_heading("Administrasjon")
    await user.press("link", "Medlemmer")
    await user.press("link", "Inviter et medlem")
    await user.wait_for_heading("Inviter et medlem")
    await user.press("button", "Send invitasjonen")
    await user.press("link", "Skriv en e-postadresse, for eksempel kari@example.org.")
    await user.page.keyboard.type(address)
    await user.press("button", "Send invitasjonen")
    await expect(user.page.get_by_text("invitasjonen er på vei")).to_be_visible()


async def add_and_import_mentors(user: Keyboard) -> None:
    await user.press("link", re.compile("^Likepersoner$"))
    await user.press("link", "Legg til en likeperson")
    await user.type("Navn", "Åse Ødegård")
    await user.press("button", "Lagre")
    await user.wait_for_heading("Åse Ødegård")
    await user.press("link", "Alle likepersoner")
    await user.press("link", "Importer fra en CSV-fil")
    await user.wait_for_heading("Importer likepersoner")
    await choose_file(user, "CSV-fil", FILE)
    await user.press("button", "Kontroller filen")
    await user.wait_for_heading("Importer likepersoner: sjekk")
    await user.press("button", "Importer 2 likepersoner")
    await expect(user.page.get_by_text("2 likepersoner er importert.")).to_be_visible()


async def publish_mapping(user: Keyboard) -> None:
    await user.press("link", "Administrasjon")
    await user.press("link", "Kolonneoppsett")
    await user.press("link", re.compile("^Versjon 1$"))
    await user.wait_for_heading("Kolonneoppsett, versjon 1")
    async with user.page.expect_download() as download:
        await user.press("link", "Last ned som fil, for å endre")
    document = json.loads((await (await download.value).path()).read_text(encoding="utf-8"))
    await user.press("link", "Alle versjoner")
    await user.press("link", "Last opp et utkast")
    await choose_file(user, "JSON-fil", json.dumps(document | {"title": "Nytt oppsett"}).encode())
    await user.press("button", "Sjekk utkastet")
    await user.wait_for_heading("Utkast til kolonneoppsett")
    await user.press("button", "Prøv utkastet")
    await expect(user.page.get_by_text("De samme aktivitetene med begge oppsettene")).to_be_visible()
    await user.press("button", "Publiser utkastet")
    await expect(user.page.get_by_text("Den nye versjonen er publisert.")).to_be_visible()
    await expect(user.page.get_by_text("Nytt oppsett").first).to_be_visible()


@pytest.mark.parametrize("javascript", [False], ids=["without-scripts"], indirect=True)
async def test_administrator_does_the_whole_job_by_keyboard(
    page: Page, origin: str, tenant: Tenant, run_worker: RunWorker
) -> None:
    user = Keyboard(page, "http://127.0.0.1:", "data:")
    await page.goto(f"{origin}/console")
    await user.press("link", re.compile("^Logg inn med"))
    await user.press("button", f"admin@{tenant.org_id}.example")
    await user.wait_for_heading("Start")
    await invite(user, f"ny@{tenant.org_id}.example")
    await add_and_import_mentors(user)
    async with run_worker():
        await publish_mapping(user)
    complaints = [text for text in user.complaints if "status of 422" not in text]  # the invitation without an address
    assert complaints == []
