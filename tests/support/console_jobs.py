"""Jobs that tests start on the console's pages."""

import re
from urllib.parse import urlsplit
from uuid import uuid4

from stafett.testing import wait_until
from tests.support.sign_in import ConsoleBrowser

REPORT_FIELDS = {"period": "2026", "export_format": "csv", "locale": "en"}


async def start_report(browser: ConsoleBrowser, page: str = "", **fields: str) -> str:
    """Start an export and return the path of its page."""
    response = await browser.submit("/console/exports", page=page or str(uuid4()), **REPORT_FIELDS | fields)
    assert response.status_code == 303, response.text
    return urlsplit(response.headers["location"]).path


async def make_report(browser: ConsoleBrowser) -> str:
    """Let a running worker make a report, and return the path of its page in the history."""
    page = await wait_for_text(browser, await start_report(browser), "The report is ready.")
    match = re.search(r'href="(/console/reports/[0-9a-f-]+)"', page)
    assert match is not None, page
    return match[1]


async def wait_for_text(browser: ConsoleBrowser, path: str, text: str) -> str:
    """Load the page until it has the text, and return it."""

    async def load() -> str:
        return (await browser.get(path)).text

    return await wait_until(load, lambda page: text in page)
