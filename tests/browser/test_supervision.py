"""The pages of auditors and operators: what axe finds in each language, in light and dark, wide and at 320 px."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_operator
from tests.support.sign_in import HostileSignIn


@pytest.fixture
def operator_id(owner_url: str, issuer_one: HostileSignIn) -> UUID:
    operator = create_operator(owner_url)
    issuer_one.users = [*issuer_one.users, issuer_one.users[0]._replace(id=operator, email=f"{operator}@example.org")]
    return operator


async def find_violations(page: Page, addresses: Sequence[str]) -> dict[tuple[str, str], str]:
    findings: dict[tuple[str, str], str] = {}
    for address in addresses:
        for language in ("nb", "nn", "en"):
            await page.goto(f"{address}{'&' if '?' in address else '?'}lang={language}")
            await expect(page.locator("html")).to_have_attribute("lang", language)
            for scheme, width in (("light", 1280), ("dark", 320)):
                await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                await page.set_viewport_size({"width": width, "height": 900})
                results = await Axe().run(page)
                if results.violations_count:
                    findings[address, scheme] = results.generate_report()
                overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if overflow > 0:
                    findings[address, str(width)] = f"the page is {overflow} px too wide"
    return findings


async def test_axe_finds_nothing_on_pages_of_auditors_and_operators(
    page: Page,
    origin: str,
    tenant: Tenant,
    operator_id: UUID,
    activity_factory: ActivityFactory,
    export_client: ExportClient,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    job = await export_client.start_export()
    await page.goto(f"{origin}/console/login/one")
    await page.get_by_role("button", name=f"{Role.AUDITOR}@{tenant.org_id}.example").click()
    addresses = ("/console?year=2026", "/console/audit", "/console/audit?start=x")
    findings = await find_violations(page, [origin + address for address in addresses])
    assert findings == {}

    await page.context.clear_cookies()
    await page.goto(f"{origin}/console/login/one")
    await page.get_by_role("button", name=f"{operator_id}@example.org").click()
    own_jobs = f"{origin}/console/operator?organisation={tenant.org_id}"
    assert await find_violations(page, [own_jobs, f"{origin}/console/operator?hours=x"]) == {}
    await page.goto(own_jobs)
    await page.get_by_label(job).check()
    await page.get_by_role("button", name="Cancel the chosen jobs").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 1 job?")
    assert (await Axe().run(page)).violations_count == 0
    await page.get_by_role("button", name="Cancel them").press("Enter")
    await expect(page.get_by_text("Being cancelled")).to_be_visible()
    assert (await Axe().run(page)).violations_count == 0
