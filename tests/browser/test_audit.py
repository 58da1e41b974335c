"""The auditor's page in Chromium: it follows a verification by itself."""

import psycopg
from playwright.async_api import Page, expect

from stafett.domain.membership import Role
from stafett.testing import Tenant


async def test_page_shows_the_result_of_a_requested_verification_by_itself(
    page: Page, origin: str, tenant: Tenant, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as owner:
        owner.execute("SELECT set_config('app.org_id', %s, false)", [tenant.org_id])
        owner.execute(
            "SELECT append_audit_event(gen_random_uuid(), %s, 'system:owner', 'organisation_renamed', 'organisation',"
            " gen_random_uuid(), NULL, '{}')",
            [tenant.org_id],
        )
    await page.goto(f"{origin}/console/login/one")
    await page.get_by_role("button", name=f"{Role.AUDITOR}@{tenant.org_id}.example").click()
    await expect(page).to_have_url(f"{origin}/console")
    await page.goto(f"{origin}/console/audit?lang=en")
    await page.get_by_role("button", name="Verify now").click()
    await expect(page.get_by_text("A verification was requested").first).to_be_visible()
    await expect(page.get_by_role("link", name="Update")).to_be_visible()
    with psycopg.connect(owner_url) as owner:  # as the worker does
        owner.execute(
            "INSERT INTO audit_verifications VALUES (%s, now(), 1, NULL, NULL, 0, NULL)"
            " ON CONFLICT (org_id) DO UPDATE SET verified_at = now(), last_seq = 1",
            [tenant.org_id],
        )
        owner.execute("DELETE FROM audit_verification_requests WHERE org_id = %s", [tenant.org_id])
    result = "The audit trail is unchanged, from its first event to event 1."
    await expect(page.get_by_text(result).first).to_be_visible(timeout=20_000)
    await expect(page.get_by_role("status")).to_have_text(result)
    await expect(page.get_by_role("link", name="Update")).to_have_count(0)
