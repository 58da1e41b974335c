"""Sign-in to the console of `stafett dev`, at its own issuer."""

import pytest

from stafett.seed.organisations import dev_user_id
from tests.support.dev_stack import DevStack
from tests.support.sign_in import ConsoleBrowser


@pytest.mark.parametrize(
    ("email", "text"),
    [
        ("coordinator@nhf.example", "You act for Norges Handikapforbund as coordinator."),
        ("auditor@hlf.example", "You act for Hørselshemmedes Landsforbund as auditor."),
        ("operator@stafett.example", "You act as an operator of the service."),
    ],
)
async def test_seeded_user_signs_in_and_out(dev_stack: DevStack, email: str, text: str) -> None:
    browser = ConsoleBrowser(dev_stack.stack_json["api_url"])
    async with browser.http:
        await browser.sign_in(dev_user_id(email), "development")
        assert text in (await browser.get("/console")).text
        await browser.submit("/console/logout")
        assert not await browser.is_signed_in()


async def test_console_url_leads_to_the_login_page(dev_stack: DevStack) -> None:
    browser = ConsoleBrowser(dev_stack.stack_json["api_url"])
    async with browser.http:
        response = await browser.get(dev_stack.stack_json["console_url"])
        assert response.headers["location"] == f"{browser.origin}/console/login?next=%2Fconsole"
        page = await browser.get(response.headers["location"])
        assert "Sign in with the development issuer" in page.text
