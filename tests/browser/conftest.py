"""Fixtures of the browser tests, which are skipped where Chromium is not installed."""

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Page, async_playwright, expect

from api.app import create_app
from stafett.settings import Settings
from stafett.testing import wait_until

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_TIMEOUT_MS = 120_000  # no test asserts a duration: a slow machine must not fail a property
expect.set_options(timeout=_TIMEOUT_MS)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest_asyncio.fixture(loop_scope="session")
async def page() -> AsyncIterator[Page]:
    """A page of a new Chromium process."""
    executable = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_FLAGS, timeout=_TIMEOUT_MS)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(_TIMEOUT_MS)
        yield page
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def api_url(settings: Settings) -> AsyncIterator[str]:
    """The URL of an API that listens on a free port."""
    config = uvicorn.Config(create_app(settings), port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    server_task = asyncio.create_task(server.serve())

    async def is_started() -> bool:
        return server.started

    await wait_until(is_started, bool)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await server_task
