"""The column mapping on the console's pages, over HTTP: versions, comparison, trial of a draft and publication."""

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import httpx
import pytest

from api.console import mapping_drafts
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.console_forms import HOSTILE_NAME, parse_path, read_field, upload
from tests.support.fixture_types import RunWorker
from tests.support.sign_in import ConsoleBrowser

OpenBrowser = Callable[[], ConsoleBrowser]
MAPPING = "/console/admin/mapping"
DRAFT = f"{MAPPING}/draft"


async def download_document(browser: ConsoleBrowser) -> dict[str, Any]:
    document: dict[str, Any] = (await browser.get(f"{MAPPING}/versions/1/document.json")).json()
    return document


async def check(browser: ConsoleBrowser, document: Any) -> httpx.Response:
    return await upload(browser, DRAFT, json.dumps(document).encode())


def read_draft(page: str) -> dict[str, str]:
    """Return the fields that the forms of the draft's page carry along."""
    return {name: read_field(page, name) for name in ("document", "revision")}


async def test_draft_is_tried_beside_the_version_in_force_and_published_once(
    browser: ConsoleBrowser, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await browser.sign_in(tenant.users[Role.ADMIN])
    document = await download_document(browser)
    counting = {"reasons": [{"code": "never", "when": True, "label": dict.fromkeys(("nb", "nn", "en"), HOSTILE_NAME)}]}
    draft = document | {"title": "Second", "counting": counting}
    page = (await check(browser, draft)).text
    assert "The draft has no errors." in page
    assert HOSTILE_NAME not in page
    assert re.search(rf"what counts / reasons / “\W?{re.escape(HOSTILE_NAME)}\W?” / condition", unescape(page))
    assert read_field(page, "effective_from") > document["effective_from"]
    async with run_worker():
        period = {"start": "2026-01-01", "end": "2026-12-31"}
        page = (await upload(browser, f"{DRAFT}/trial", None, **read_draft(page), **period)).text
    assert "Trial with 2026" in page
    counts = re.search(r"Count towards the grant</th>\s*<td[^>]*>(\d+)</td>\s*<td[^>]*>(\d+)</td>", page)
    assert counts is not None, page
    assert counts.groups() == ("1", "0")
    assert re.search(r"Does not count: \W?&lt;script&gt;", page), page
    assert (await browser.get(f"{MAPPING}/versions/2")).status_code == 404
    fields = read_draft(page) | {"effective_from": "2026-07-01"}
    refused = await upload(browser, f"{DRAFT}/publication", None, **fields)
    assert (refused.status_code, "The day is in the past" in refused.text) == (422, True)
    assert (await browser.get(f"{MAPPING}/versions/2")).status_code == 404
    fields = read_draft(refused.text) | {"effective_from": "2026-07-01", "confirm_past": "true"}
    for _ in range(2):
        assert parse_path(await upload(browser, f"{DRAFT}/publication", None, **fields)) == MAPPING
    published = (await browser.get(f"{MAPPING}/versions/2")).text
    assert "1 July 2026" in published
    assert HOSTILE_NAME not in published
    assert (await browser.get(f"{MAPPING}/versions/3")).status_code == 404
    difference = (await browser.get(f"{MAPPING}/compare?first=1&second=2")).text
    assert "Version 1 compared with version 2" in difference
    assert "&#34;Second&#34;" in difference
    assert "Nothing differs." in (await browser.get(f"{MAPPING}/compare?first=2&second=2")).text
    assert "Second" in (await browser.get(MAPPING)).text


async def test_draft_based_on_an_older_version_is_not_published(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    document = await download_document(browser)
    first, second = [(await check(browser, document | {"title": title})).text for title in ("First", "Second")]
    day = {"effective_from": "2026-07-01", "confirm_past": "true"}
    assert parse_path(await upload(browser, f"{DRAFT}/publication", None, **read_draft(first), **day)) == MAPPING
    response = await upload(browser, f"{DRAFT}/publication", None, **read_draft(second), **day)
    assert response.status_code == 409
    assert "Another user was faster" in response.text


async def test_trial_without_a_worker_states_that_none_answered(
    browser: ConsoleBrowser, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raise_unavailable(*_args: object) -> None:
        raise ServiceUnavailableError("The worker")

    monkeypatch.setattr(mapping_drafts, "build_preview", raise_unavailable)
    await browser.sign_in(tenant.users[Role.ADMIN])
    page = (await check(browser, await download_document(browser))).text
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    page = (await upload(browser, f"{DRAFT}/trial", None, **read_draft(page), **period)).text
    assert page.count("did not answer") == 2


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "Choose a file."),
        (b"x", "Line 1: Expected JSON"),
        (b'{"format": 1,\n "<script>": 2}', "Unknown field"),
        (b" " * 300_000, "at most 256 KiB"),
    ],
)
async def test_invalid_draft_is_refused_with_its_issues(
    browser: ConsoleBrowser, tenant: Tenant, content: bytes | None, text: str
) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    response = await upload(browser, DRAFT, content)
    assert response.status_code == 422
    assert text in response.text
    assert "<script>" not in response.text


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        (
            "nb",
            ("Linje 3, kolonner / «{header}» / verdi / var: ", "Det finnes ingenting med dette navnet.", "(There is"),
        ),
        (
            "nn",
            ("Linje 3, kolonnar / «{header}» / verdi / var: ", "Det finst ingenting med dette namnet.", "(There is"),
        ),
        ("en", ("Line 3, columns / “{header}” / value / var: ", "There is no field or value “plase”", "Did you mean")),
    ],
)
async def test_issue_names_its_line_and_part_in_the_language_of_the_page(
    browser: ConsoleBrowser, tenant: Tenant, language: str, texts: tuple[str, ...]
) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    document = await download_document(browser)
    column = document["columns"][0]
    head = json.dumps({name: value for name, value in document.items() if name != "columns"})[:-1]
    columns = json.dumps([column | {"value": {"var": "plase"}}, *document["columns"][1:]])
    await browser.get(f"/console?lang={language}")
    page = unescape((await upload(browser, DRAFT, f'{head},\n"columns":\n{columns}}}'.encode())).text)
    for text in texts:
        assert text.format(header=column["header"][language]) in page, text


@pytest.mark.parametrize(
    ("form", "fields", "text"),
    [
        ("trial", {"start": "2026-01-01"}, "Enter the first and the last day of the period."),
        ("trial", {"start": "2026-01-02", "end": "2026-01-01"}, "The last day is before the first day."),
        ("publication", {"effective_from": "2026-02-30"}, "Enter a date that exists"),
        ("publication", {}, "Enter a date that exists"),
    ],
)
async def test_invalid_form_of_a_draft_is_shown_again(
    browser: ConsoleBrowser, tenant: Tenant, form: str, fields: dict[str, str], text: str
) -> None:
    await browser.sign_in(tenant.users[Role.ADMIN])
    page = (await check(browser, await download_document(browser))).text
    response = await upload(browser, f"{DRAFT}/{form}", None, **read_draft(page), **fields)
    assert response.status_code == 422
    assert text in response.text
    assert (await upload(browser, f"{DRAFT}/{form}", None, document="{}", **fields)).status_code == 422


async def test_mapping_of_another_organisation_or_role_is_refused(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant
) -> None:
    owner, stranger, auditor = open_browser(), open_browser(), open_browser()
    await owner.sign_in(tenant.users[Role.ADMIN])
    await stranger.sign_in(other_tenant.users[Role.ADMIN], "two")
    await auditor.sign_in(tenant.users[Role.AUDITOR])
    page = (await check(owner, await download_document(owner) | {"title": "Second"})).text
    fields = read_draft(page) | {"effective_from": "2026-07-01", "confirm_past": "true"}
    assert (await upload(auditor, f"{DRAFT}/publication", None, **fields)).status_code == 403
    without_token = await owner.http.post(
        f"{DRAFT}/publication", data=fields, files={"file": ("", b"")}, headers={"Origin": owner.origin}
    )
    assert without_token.status_code == 403
    for address in (MAPPING, f"{MAPPING}/versions/1", f"{MAPPING}/compare?first=1&second=1", DRAFT):
        assert (await auditor.get(address)).status_code == 403, address
    await upload(owner, f"{DRAFT}/publication", None, **fields)
    assert "Second" in (await owner.get(f"{MAPPING}/versions/2")).text
    assert (await stranger.get(f"{MAPPING}/versions/2")).status_code == 404
    assert (await stranger.get(f"{MAPPING}/versions/{10**30}")).status_code == 404
