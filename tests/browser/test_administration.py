"""The administrator's whole job in Chromium, by keyboard alone."""

import json
import re

import pytest
from playwright.async_api import Page, expect

from stafett.testing import Tenant
from tests.support.fixture_types import RunWorker
from tests.support.keyboard import Keyboard

FILE = "display_name;branch\r\nKari;Nord\r\n;Nord\r\nOla;Sør\r\n".encode()


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
