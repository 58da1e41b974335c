"""Webhooks and the user's notifications on the console's pages, over HTTP."""

import re
from collections.abc import Callable
from uuid import uuid4

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import execute, parse_path, read_field
from tests.support.console_jobs import make_report, wait_for_text
from tests.support.fixture_types import RunWorker
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
WEBHOOKS, NOTIFICATIONS = "/console/admin/webhooks", "/console/notifications"
HOSTILE_URL = "https://93.184.215.14/?<script>alert(1)</script>"
SECRET = re.compile(r"whsec_[\w+/=-]+")


async def add_webhook(browser: ConsoleBrowser, description: str = "Receiver") -> str:
    """Add a webhook and return the path of its page."""
    page = (await browser.submit(WEBHOOKS, url=HOSTILE_URL, description=description)).text
    match = re.search(rf'href="({WEBHOOKS}/[0-9a-f-]+)"', page)
    assert match is not None, page
    return match[1]


async def test_webhook_is_added_once_gets_a_new_secret_and_is_removed(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    page = read_field((await browser.get(f"{WEBHOOKS}/new")).text, "page")
    fields = {"url": HOSTILE_URL, "description": "Receiver", "page": page}
    added = await browser.submit(WEBHOOKS, **fields)
    repeated = await browser.submit(WEBHOOKS, **fields)
    assert (added.status_code, repeated.status_code) == (201, 409)
    assert SECRET.search(added.text)
    assert not SECRET.search(repeated.text)
    listed = (await browser.get(WEBHOOKS)).text
    assert "<script>" not in listed
    (path,) = re.findall(rf'href="({WEBHOOKS}/[0-9a-f-]{{36}})"', listed)
    assert not SECRET.search((await browser.get(path)).text)

    key = read_field((await browser.get(f"{path}/secret")).text, "key")
    rotated = await browser.submit(f"{path}/secret", key=key)
    repeated = await browser.submit(f"{path}/secret", key=key)
    assert (rotated.status_code, repeated.status_code) == (201, 409)
    new_secret = SECRET.search(rotated.text)
    assert new_secret is not None
    assert new_secret[0] not in added.text
    assert "If you do not have it, make a new secret." in repeated.text

    assert "Remove https://" in (await browser.get(f"{path}/remove")).text
    assert parse_path(await browser.submit(f"{path}/remove")) == WEBHOOKS
    assert (await browser.submit(f"{path}/remove")).status_code == 404
    assert "The organisation has no webhooks." in (await browser.get(WEBHOOKS)).text


async def test_test_message_is_sent_once_and_shown_among_the_deliveries(
    browser: ConsoleBrowser, tenant: Tenant
) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    path = await add_webhook(browser)
    key = read_field((await browser.get(path)).text, "key")
    for _ in range(2):
        assert parse_path(await browser.submit(f"{path}/test", key=key)) == path
    page = (await browser.get(f"{path}?notice=test_sent")).text
    assert "A test message is on its way." in page
    assert page.count("<td>Test</td>") == 1


async def test_disabled_webhook_is_used_again(browser: ConsoleBrowser, tenant: Tenant, owner_url: str) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    path = await add_webhook(browser)
    execute(owner_url, "UPDATE webhooks SET disabled_at = now() WHERE org_id = %s", tenant.org_id)
    assert "Disabled since" in (await browser.get(path)).text
    assert parse_path(await browser.submit(f"{path}/enable")) == path
    assert "<dd>In use</dd>" in (await browser.get(path)).text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"url": ""}, "Enter an address that begins with https://"),
        ({"url": "javascript:alert(1)"}, "Enter an address that begins with https://"),
        ({"url": "https://10.0.0.1/"}, "Enter an address that begins with https://"),
        ({"url": "https://93.184.215.14/" + "x" * 32_000}, "The text is too long."),
        ({"url": HOSTILE_URL, "description": "x" * 201}, "The text is too long."),
        ({"url": HOSTILE_URL, "description": "x\0"}, "The text must be one line without control characters."),
    ],
)
async def test_invalid_webhook_is_shown_again_with_its_error(
    browser: ConsoleBrowser, tenant: Tenant, fields: dict[str, str], text: str
) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    response = await browser.submit(WEBHOOKS, **fields)
    assert response.status_code == 422
    assert text in response.text


async def test_webhooks_beyond_the_limit_are_refused_in_words(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    for number in range(20):
        await add_webhook(browser, f"Receiver {number}")
    response = await browser.submit(WEBHOOKS, url=HOSTILE_URL)
    assert response.status_code == 422
    assert "An organisation has at most 20 webhooks." in response.text


async def test_webhook_of_another_organisation_or_without_token_is_refused(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant
) -> None:
    owner, stranger, coordinator = open_browser(), open_browser(), open_browser()
    await owner.sign_in(tenant.users[Role.ADMIN])
    await stranger.sign_in(other_tenant.users[Role.ADMIN], "two")
    await coordinator.sign_in(tenant.coordinator)
    path = await add_webhook(owner)
    for page in ("", "/secret", "/remove"):
        assert (await stranger.get(path + page)).status_code == 404, page
        assert (await coordinator.get(path + page)).status_code == 403, page
    for form in ("/enable", "/test", "/secret", "/remove"):
        assert (await stranger.submit(path + form)).status_code == 404, form
        assert (await coordinator.submit(path + form)).status_code == 403, form
        assert (await owner.post(path + form, {"form_token": "x"})).status_code == 403, form
    assert (await owner.post(WEBHOOKS, {"url": HOSTILE_URL})).status_code == 403
    assert (await owner.get(path)).status_code == 200


async def test_notification_of_a_report_is_listed_and_marked_as_read(
    open_browser: OpenBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    browser, other = open_browser(), open_browser()
    await browser.sign_in(tenant.coordinator)
    await other.sign_in(tenant.users[Role.ADMIN])
    assert "You have no notifications." in (await browser.get(NOTIFICATIONS)).text
    async with run_worker():
        await make_report(browser)
        page = await wait_for_text(browser, NOTIFICATIONS, "Mark as read")
    match = re.search(rf"{NOTIFICATIONS}/[0-9a-f-]+/read", page)
    assert match is not None
    assert (await other.submit(match[0])).status_code == 404
    assert (await browser.post(match[0], {"form_token": "x"})).status_code == 403
    for _ in range(2):
        assert parse_path(await browser.submit(match[0])) == NOTIFICATIONS
    assert "Mark as read" not in (await browser.get(NOTIFICATIONS)).text
    assert (await browser.submit(f"{NOTIFICATIONS}/{uuid4()}/read")).status_code == 404
