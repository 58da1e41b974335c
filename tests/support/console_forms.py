"""Forms of the console's pages, as a browser reads and sends them."""

import re
from html import unescape
from urllib.parse import urlsplit

import httpx
import psycopg

from tests.support.sign_in import ConsoleBrowser

HOSTILE_NAME = "<script>alert('Åse')</script>\N{RIGHT-TO-LEFT MARK}"


def read_field(page: str, name: str) -> str:
    """Return the value of the page's first field with this name."""
    match = re.search(rf'<input[^>]* name="{name}"[^>]* value="([^"]*)"', page)
    assert match is not None, page
    return unescape(match[1])


def parse_path(response: httpx.Response) -> str:
    """Return the path to which a form leads."""
    assert response.status_code == 303, response.text
    return urlsplit(response.headers["location"]).path


async def upload(browser: ConsoleBrowser, path: str, content: bytes | None, /, **fields: str) -> httpx.Response:
    """Send a form with a file, or with an empty file field as a browser does."""
    fields |= {"form_token": await browser.get_form_token()}
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    files = {"file": ("", b"") if content is None else ("file", content)}
    return await browser.http.post(path, data=fields, files=files, headers=headers)


def execute(owner_url: str, statement: str, *values: object) -> None:
    """Execute a statement as the owner of the database."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(statement.encode(), values)
