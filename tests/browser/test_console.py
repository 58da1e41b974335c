"""The console in Chromium, from sign-in to sign-out."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from pydantic import AnyHttpUrl

from api.app import create_app
from stafett.settings import Settings, SignInSettings
from stafett.testing import Tenant
from tests.support.http_server import serve_app
from tests.support.sign_in import HostileSignIn, list_users, run_issuer


@pytest.fixture
def issuer_one(tmp_path: Path, tenant: Tenant) -> Iterator[HostileSignIn]:
    with run_issuer(tmp_path, list_users(tenant)) as sign_in:
        yield sign_in


@pytest_asyncio.fixture(loop_scope="session")
async def origin(settings: Settings, issuer_one: HostileSignIn) -> AsyncIterator[str]:
    """The origin of a console at which users sign in with the issuer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    issuer_one.register_console(url)
    sign_in = SignInSettings(public_url=AnyHttpUrl(url), issuers={"one": issuer_one.issuer_settings()})
    async with serve_app(create_app(settings.model_copy(update={"sign_in": sign_in})), port=port) as served:
        yield served


async def test_user_signs_in_lists_sessions_and_signs_out(
    page: Page, origin: str, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    await page.goto(f"{origin}/console/sessions")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    await page.get_by_role("link", name="Sign in with").click()
    await page.get_by_role("button", name=f"coordinator@{tenant.org_id}.example").click()
    await expect(page).to_have_url(f"{origin}/console/sessions")
    await expect(page.get_by_role("row")).to_have_count(2)
    await page.get_by_role("link", name="Change organisation").click()
    await page.get_by_role("radio", name="Prøveforbundet").check()
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text("You act for Prøveforbundet as coordinator.")).to_be_visible()
    (cookie,) = [each for each in await page.context.cookies() if "login" not in each["name"]]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    async with page.expect_request(f"{issuer_one.issuer.url}/logout?*"):
        await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("status")).to_have_text("You are signed out of Stafett.")
    await page.goto(f"{origin}/console")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert [message for message in messages if "Content Security Policy" in message] == []
