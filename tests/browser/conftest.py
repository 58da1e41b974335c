"""Fixtures of the browser tests, which are skipped where Chromium is not installed."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from pydantic import AnyHttpUrl

from api.app import create_app
from stafett.settings import Settings, SignInSettings
from stafett.testing import Tenant
from tests.support.http_server import reserve_port, serve_app
from tests.support.sign_in import HostileSignIn, list_users, run_issuer

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_TIMEOUT_MS = 120_000  # no test asserts a duration: a slow machine must not fail a property
expect.set_options(timeout=_TIMEOUT_MS)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One Chromium for all tests of a process; contexts share nothing."""
    executable = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_FLAGS, timeout=_TIMEOUT_MS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser, javascript: bool) -> AsyncIterator[Page]:  # noqa: FBT001 - a fixture
    """A page in a context of its own."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 900}, java_script_enabled=javascript)
    page.set_default_timeout(_TIMEOUT_MS)
    yield page
    await page.close()


@pytest.fixture
def javascript() -> bool:
    """Whether pages can run scripts; tests override it."""
    return True


@pytest_asyncio.fixture(loop_scope="session")
async def api_url(settings: Settings) -> AsyncIterator[str]:
    """The URL of an API that listens on a free port."""
    async with serve_app(create_app(settings)) as url:
        yield url


@pytest.fixture
def issuer_one(tmp_path: Path, tenant: Tenant) -> Iterator[HostileSignIn]:
    with run_issuer(tmp_path, list_users(tenant)) as sign_in:
        yield sign_in


@pytest_asyncio.fixture(loop_scope="session")
async def origin(settings: Settings, issuer_one: HostileSignIn) -> AsyncIterator[str]:
    """The origin of a console at which users sign in with the issuer."""
    with reserve_port() as port:
        issuer_one.register_console(port.origin)
        sign_in = SignInSettings(public_url=AnyHttpUrl(port.origin), issuers={"one": issuer_one.issuer_settings()})
        async with serve_app(create_app(settings.model_copy(update={"sign_in": sign_in})), port=port) as served:
            yield served
