"""Sign-in to the console in Chromium, from sign-in to sign-out."""

from playwright.async_api import Page, expect

from stafett.testing import Tenant
from tests.support.sign_in import HostileSignIn


async def test_user_signs_in_lists_sessions_and_signs_out(
    page: Page, origin: str, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    await page.goto(f"{origin}/console/sessions?lang=en")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    await page.get_by_role("link", name="Sign in with").click()
    await page.get_by_role("button", name=f"coordinator@{tenant.org_id}.example").click()
    await expect(page).to_have_url(f"{origin}/console/sessions?lang=en")
    await expect(page.get_by_role("row")).to_have_count(2)
    await page.get_by_role("link", name="Change organisation").click()
    await page.get_by_role("radio", name="Prøveforbundet").check()
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text("You act for Prøveforbundet as coordinator.")).to_be_visible()
    cookies = await page.context.cookies()
    assert {(cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies} == {(True, "Lax")}
    async with page.expect_request(f"{issuer_one.issuer.url}/logout?*"):
        await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("status")).to_have_text("You are signed out of Stafett.")
    await page.goto(f"{origin}/console")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert [message for message in messages if "Content Security Policy" in message] == []


async def test_form_on_a_page_of_another_site_cannot_sign_out(page: Page, origin: str, tenant: Tenant) -> None:
    await page.goto(f"{origin}/console/login/one?lang=en")
    await page.get_by_role("button", name=f"coordinator@{tenant.org_id}.example").click()
    await expect(page).to_have_url(f"{origin}/console")
    form = f'<form method="post" action="{origin}/console/logout"><button>Win</button></form>'
    await page.route("http://evil.example/", lambda route: route.fulfill(content_type="text/html", body=form))
    await page.goto("http://evil.example/")
    async with page.expect_response(f"{origin}/console/logout") as response:
        await page.get_by_role("button").click()
    assert (await response.value).status == 403
    await page.goto(f"{origin}/console?lang=en")
    await expect(page.get_by_text("You act for Prøveforbundet as coordinator.")).to_be_visible()
