"""The whole job of a coordinator by keyboard alone, with and without scripts, and what axe finds on the pages."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from stafett.domain.reporting_period import OSLO
from stafett.testing import ActivityFactory, Tenant
from tests.support.fixture_types import RunWorker
from tests.support.keyboard import Keyboard


@pytest.fixture(params=[False, True], ids=["without-scripts", "with-scripts"])
def javascript(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def sign_in(user: Keyboard, origin: str, tenant: Tenant) -> None:
    await user.page.goto(f"{origin}/console")
    await user.press("link", re.compile("^Logg inn med"))
    await user.press("button", f"coordinator@{tenant.org_id}.example")
    await user.wait_for_heading("Start")


async def make_and_submit_report(user: Keyboard, year: int) -> None:
    await user.press("link", "Ny rapport")
    await user.wait_for_heading("Ny rapport")
    await user.focus(user.page.get_by_label("Periode", exact=True))
    await user.page.keyboard.type(f"Hele {year}")
    await user.press("button", "Sjekk rapporten")
    await user.wait_for_heading(f"Sjekk rapporten {year}")
    await user.press("button", "Lag rapporten")
    await user.wait_for_heading(f"Rapport {year}")
    await user.update_until("Rapporten er klar.")
    async with user.page.expect_download() as download:
        await user.press("link", re.compile("^Last ned .*xlsx"))
    assert (await (await download.value).path()).stat().st_size > 0
    await user.press("link", "Versjoner, ny versjon og merking som levert")
    await user.wait_for_heading(f"Rapport {year}")
    await user.type("Bufdirs referanse, hvis det er en", "27/1234")
    await user.press("button", "Merk som levert")
    await expect(user.page.get_by_text("Referanse: 27/1234")).to_be_visible()


async def register_for_all(user: Keyboard, activity_factory: ActivityFactory, busy: Sequence[UUID]) -> None:
    await user.press("link", "Registrer for flere")
    await user.press("link", "Ny registrering")
    await user.wait_for_heading("Registrer for flere: aktiviteten")
    await user.focus(user.page.get_by_label("Start: dag og klokkeslett"))
    for part in ("0302", "2026", "ArrowRight", "1000", "A"):  # a day and a month in the order of any language
        await (user.page.keyboard.press(part) if part.startswith("Arrow") else user.page.keyboard.type(part))
    start = datetime.fromisoformat(await user.page.get_by_label("Start: dag og klokkeslett").input_value())
    for mentor in busy:
        activity_factory.create_activity(mentor, starts_at=start.replace(tzinfo=OSLO))
    for label, value in (("Varighet i minutter", "60"), ("Deltakere", "5"), ("Av disse for første gang", "1")):
        await user.type(label, value)
    await user.type("Sted", "Tromsø")
    await user.press("button", "Velg likepersoner")
    await user.wait_for_heading("Registrer for flere: likepersonene")
    await user.press("button", "Velg alle som søket finner")
    await expect(user.page.get_by_text("50 likepersoner er valgt.")).to_be_visible()
    await user.press("button", "Sjekk registreringen")
    await expect(user.page.get_by_text("45 er i orden.")).to_be_visible()
    await user.press("button", "Registrer for 50 likepersoner")
    await user.update_until("Registrert, med unntak")


async def correct_failed(user: Keyboard) -> None:
    await user.press("link", "Rett dem som mislyktes")
    await user.wait_for_heading("Rett dem som mislyktes")
    fields = user.page.get_by_label("Start: dag og klokkeslett")
    assert await fields.count() == 5
    for index in range(5):
        await user.focus(fields.nth(index))
        await user.page.keyboard.type("07")  # another day or month
    await user.press("button", "Registrer de rettede")
    await user.update_until("Alle er registrert")


async def test_coordinator_does_the_whole_job_by_keyboard(
    page: Page, origin: str, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    year = datetime.now(OSLO).year - 1
    mentors = [activity_factory.create_mentor(f"Likeperson {number:02}") for number in range(50)]
    activity_factory.create_activity(mentors[0], starts_at=datetime(year, 3, 2, 10, tzinfo=OSLO))
    user = Keyboard(page, "http://127.0.0.1:", "data:")
    async with run_worker():
        await sign_in(user, origin, tenant)
        await make_and_submit_report(user, year)
        await register_for_all(user, activity_factory, mentors[:5])
        await correct_failed(user)
    assert user.complaints == []


ADDRESSES = (
    *("/console/login", "/console", "/console/exports/new", "/console/exports/check?period=x", "/console/exports"),
    *("/console/reports", "/console/bulk", "/console/bulk/new", "/console/bulk/upload"),
    *("/console/organisation", "/console/sessions", "/console/accessibility", "/console/nowhere"),
)


@pytest.mark.parametrize("javascript", [True], indirect=True)
async def test_axe_finds_nothing_on_any_page(
    page: Page, origin: str, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await page.goto(f"{origin}/console/login/one")
    await page.get_by_role("button", name=f"coordinator@{tenant.org_id}.example").click()
    await page.goto(f"{origin}/console/exports/new?lang=en&period=2026")
    async with run_worker():
        await page.get_by_role("button", name="Check the report").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Check the report 2026")
        check = page.url
        await page.get_by_role("button", name="Make the report").click()
        await expect(page.get_by_text("The report is ready.")).to_be_visible()
        job = page.url
        await page.get_by_role("link", name=re.compile("^Versions, new version")).click()
        await expect(page.get_by_role("heading", name="Make a new version")).to_be_visible()
        report = page.url
        findings: dict[tuple[str, str], str] = {}
        for address in (check, job, report, f"{job}/delete", *(f"{origin}{path}" for path in ADDRESSES)):
            await page.goto(address)
            for scheme, width in (("light", 1280), ("dark", 320)):
                await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                await page.set_viewport_size({"width": width, "height": 900})
                results = await Axe().run(page)
                if results.violations_count:
                    findings[address, scheme] = results.generate_report()
                overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if overflow > 0:
                    findings[address, str(width)] = f"the page is {overflow} px too wide"
    assert findings == {}
