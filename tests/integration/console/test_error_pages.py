"""Errors of the console as pages, whatever the request, with the menu of users who are signed in."""

from collections.abc import AsyncIterator

import httpx
import pytest

from api.problems import MAX_BODY_BYTES
from stafett.testing import Tenant
from tests.support.console_pages import is_page
from tests.support.page_markup import find_faults
from tests.support.sign_in import ConsoleBrowser

MENU = 'aria-label="Main menu"'


def assert_error_page(response: httpx.Response, status: int, heading: str, *, has_menu: bool = True) -> None:
    assert (response.status_code, is_page(response)) == (status, True), response.text
    assert f"<h1>{heading}</h1>" in response.text
    assert find_faults(response.text) == []
    assert response.headers["X-Request-ID"] in response.text
    assert (MENU in response.text) is has_menu


@pytest.mark.parametrize("has_length", [True, False], ids=["declared", "counted"])
async def test_body_beyond_the_limit_gets_a_page(browser: ConsoleBrowser, tenant: Tenant, *, has_length: bool) -> None:
    await browser.sign_in(tenant.coordinator)
    form = httpx.Request("POST", browser.origin, files={"file": ("file", b"x" * MAX_BODY_BYTES)})
    content = form.read()

    async def generate() -> AsyncIterator[bytes]:
        yield content

    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin", "Content-Type": form.headers["Content-Type"]}
    body = content if has_length else generate()
    response = await browser.http.post("/console/bulk/upload", content=body, headers=headers)
    assert_error_page(response, 413, "The form is too large")


async def test_body_of_another_type_gets_a_page(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}
    response = await browser.http.post("/console/bulk", content=b"x", headers=headers)
    assert_error_page(response, 415, "The form has the wrong format")


async def test_another_host_gets_a_page_without_menu(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    response = await browser.get("/console", Host="evil.example")
    assert_error_page(response, 421, "This is not the address of the console", has_menu=False)


async def test_form_of_another_site_gets_a_page_without_menu(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    response = await browser.post("/console/bulk", {}, Origin="https://evil.example")
    assert_error_page(response, 403, "The form could not be used", has_menu=False)


async def test_unknown_addresses_have_the_menu_of_users_who_are_signed_in(
    browser: ConsoleBrowser, tenant: Tenant
) -> None:
    heading = "This page does not exist"
    assert_error_page(await browser.get("/console/nowhere"), 404, heading, has_menu=False)
    statement = await browser.get("/console/accessibility")
    assert MENU not in statement.text
    await browser.sign_in(tenant.coordinator)
    assert_error_page(await browser.get("/console/nowhere"), 404, heading)
    assert_error_page(await browser.get(f"/console/exports/{tenant.coordinator}"), 404, heading)
    assert_error_page(await browser.get("/console/admin"), 403, "You may not do this")
    assert_error_page(await browser.get("/console/logout"), 405, "This address does not support the request")
    assert MENU in (await browser.get("/console/accessibility")).text
