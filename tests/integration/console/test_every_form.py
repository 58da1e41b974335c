"""Every form of the console over HTTP: who may send it, from where, how often, and with which texts."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple
from uuid import uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from psycopg import sql
from temporalio.client import Client

from api.console.forms import OWN_DATES
from api.console.security import read_upload
from stafett.database.session import Database
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.testing import ActivityFactory, Tenant, create_operator
from tests.support.api_fixtures import ApiFixtures
from tests.support.console_forms import HOSTILE_NAME, execute
from tests.support.console_pages import ROUTES, is_page
from tests.support.console_world import ACTIVITY, BATCH_COLUMNS, YEAR
from tests.support.page_markup import find_faults
from tests.support.preview_worker import run_preview_worker
from tests.support.sign_in import ConsoleBrowser, HostileSignIn

OpenBrowser = Callable[[], ConsoleBrowser]
CROSS_SITE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
OPERATOR = "/console/operator"
OF_EVERY_MEMBER = ("/console/logout", "/console/organisation", "/console/sessions", "/verification", "/read")
"""Ends of the paths at which auditors send forms, too."""

ACTIONS = {"/console/mentors/import": "import", "/console/bulk/upload": "register"}
HOSTILE_TEXTS = (HOSTILE_NAME, "\N{RIGHT-TO-LEFT OVERRIDE}'\"><img src=x onerror=alert(1)>", "<b>" * 11_000, "\0")


class Form(NamedTuple):
    """A form with a value for each field that a form of the console has."""

    path: str
    fields: Mapping[str, str]
    file: bytes | None

    async def send(self, browser: ConsoleBrowser, token: str, **headers: str) -> httpx.Response:
        sent = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"} | headers
        data = dict(self.fields) | {"form_token": token}
        files = None if self.file is None else {"file": ("file", self.file)}
        return await browser.http.post(self.path, data=data, files=files, headers=sent)


def list_routes(*, of_operators: bool = False) -> list[APIRoute]:
    return [route for route in ROUTES["POST"] if route.path.startswith(OPERATOR) is of_operators]


@pytest.fixture
def fixtures(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> ApiFixtures:
    return ApiFixtures(owner_url, tenant, api_database, worker_database)


@pytest.fixture
def forms(fixtures: ApiFixtures, tenant: Tenant, activity_factory: ActivityFactory, owner_url: str) -> list[Form]:
    """The forms of all routes but the operator's, each of an object of its own."""
    mentor = activity_factory.create_mentor()
    values = create_values(owner_url, tenant) | {"mentors": str(mentor), "mentor-0": str(mentor)}
    batch = f"{BATCH_COLUMNS}\r\n{mentor};samtalegruppe;02.04.{YEAR} 10:00;60;5;1;Tromsø;ja;ja\r\n"
    files = {"/console/bulk/upload": batch, "/console/admin/mapping/draft": values["document"]}
    forms = [create_form(route, fixtures, values) for route in list_routes()]
    return [form._replace(file=files[form.path].encode()) if form.path in files else form for form in forms]


@pytest.fixture
def operator_forms(fixtures: ApiFixtures, owner_url: str, tenant: Tenant) -> list[Form]:
    """The operator's forms, about a failed export."""
    job = fixtures.create_failed_export().id
    values = create_values(owner_url, tenant) | {"kind": "export", "jobs": str(job), f"attempt-{job}": "1"}
    return [create_form(route, fixtures, values | {"action": "retry"}) for route in list_routes(of_operators=True)]


@pytest_asyncio.fixture(loop_scope="session")
async def preview_worker(temporal: Client, settings: Settings) -> AsyncIterator[None]:
    """A worker for the forms that wait for a preview."""
    async with run_preview_worker(temporal, settings):
        yield


def create_form(route: APIRoute, fixtures: ApiFixtures, values: Mapping[str, str]) -> Form:
    def create_object(parameter: re.Match[str]) -> str:
        return str(fixtures.factories[parameter[1]]())  # a new parameter needs a factory

    path = re.sub(r"\{(\w+)(?::\w+)?\}", create_object, route.path)
    is_upload = any(dependency.call is read_upload for dependency in route.dependant.dependencies)
    fields = {"action": ACTIONS.get(route.path, "search")} | dict(values) | {"page": str(uuid4()), "key": str(uuid4())}
    return Form(path, fields, b"display_name\r\nNy likeperson\r\n" if is_upload else None)


def create_values(owner_url: str, tenant: Tenant) -> dict[str, str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT document FROM column_mappings WHERE org_id = %s"
        row = connection.execute(query, [tenant.org_id]).fetchone()
    assert row is not None
    report = {"period": OWN_DATES, "export_format": "csv", "locale": "nb"}
    person = {"display_name": "Nina Ny", "name": "Nina Ny", "role": "auditor", "address": f"{uuid4()}@example.org"}
    others = {"days": "90", "url": "https://93.184.215.14/", "source": "current_data", "version": "1"}
    days = {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31", "submitted_on": f"{YEAR + 1}-02-01"}
    versions = {
        "revision": "0",
        "attempt": "1",
        "effective_from": f"{YEAR}-01-01",
        "confirm_past": "true",
        "document": json.dumps(row[0]),
    }
    ids = {
        "starts_at-0": ACTIVITY["starts_at"],
        "organisation": tenant.org_id,
        "session": str(uuid4()),
        "active": "true",
    }
    return ACTIVITY | report | person | others | days | versions | ids


@cache
def list_tables(owner_url: str) -> tuple[str, ...]:
    """List the tables with rows of organisations, except their sessions."""
    with psycopg.connect(owner_url) as connection:
        tables = connection.execute(
            "SELECT DISTINCT table_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_schema, table_name) WHERE table_schema = 'public' AND column_name = 'org_id'"
            " AND table_type = 'BASE TABLE' AND table_name <> 'user_sessions'"
        ).fetchall()
    return tuple(name for (name,) in tables)


def fetch_rows(owner_url: str, org_id: str) -> dict[str, list[str]]:
    """Load all rows of the organisation, except its sessions."""
    tables = list_tables(owner_url)
    with psycopg.connect(owner_url) as connection:
        query = sql.SQL("SELECT row::text FROM {} AS row WHERE org_id = %s ORDER BY 1")
        rows = {
            name: [text for (text,) in connection.execute(query.format(sql.Identifier(name)), [org_id]).fetchall()]
            for name in tables
        }
        name = connection.execute("SELECT name FROM organisations WHERE id = %s", [org_id]).fetchone()
    assert name is not None
    return rows | {"organisations": list(name)}


async def open_senders(
    open_browser: OpenBrowser, tenant: Tenant, operator: ConsoleBrowser | None = None
) -> Callable[[Form], ConsoleBrowser]:
    """Sign in, and return a function that chooses the user of a form; notifications are the coordinator's."""
    admin, coordinator = open_browser(), open_browser()
    await admin.sign_in(tenant.users[Role.ADMIN])
    await coordinator.sign_in(tenant.coordinator)

    def choose(form: Form) -> ConsoleBrowser:
        if form.path.startswith(OPERATOR):
            assert operator is not None
            return operator
        return coordinator if form.path.endswith("/read") else admin

    return choose


async def open_operator(open_browser: OpenBrowser, owner_url: str, issuer: HostileSignIn) -> ConsoleBrowser:
    operator = create_operator(owner_url)
    issuer.users = [*issuer.users, issuer.users[0]._replace(id=operator, email=f"{operator}@example.org")]
    browser = open_browser()
    await browser.sign_in(operator)
    return browser


def sort_last(forms: list[Form], *ends: str) -> Iterator[Form]:
    """Order the forms so that those which end the session or the membership of their user come last."""
    return iter(sorted(forms, key=lambda form: form.path.endswith(ends)))


async def test_forms_of_other_sites_and_without_the_token_change_nothing(
    open_browser: OpenBrowser,
    tenant: Tenant,
    owner_url: str,
    issuer_one: HostileSignIn,
    forms: list[Form],
    operator_forms: list[Form],
) -> None:
    operator = await open_operator(open_browser, owner_url, issuer_one)
    choose = await open_senders(open_browser, tenant, operator)
    other = open_browser()
    await other.sign_in(tenant.users[Role.ADMIN])
    foreign_token = await other.get_form_token()
    before = fetch_rows(owner_url, tenant.org_id)
    statuses = dict[tuple[str, str], int]()
    for form in (*forms, *operator_forms):
        browser = choose(form)
        token = await browser.get_form_token()
        statuses[form.path, "cross-site"] = (await form.send(browser, token, **CROSS_SITE)).status_code
        statuses[form.path, "without origin"] = (
            await form.send(browser, token, **{"Origin": "null", "Sec-Fetch-Site": "cross-site"})
        ).status_code
        statuses[form.path, "without token"] = (await form.send(browser, "")).status_code
        statuses[form.path, "token of another session"] = (await form.send(browser, foreign_token)).status_code
        statuses[form.path, "not signed in"] = (await form.send(open_browser(), token)).status_code - 303 + 403
    assert {each: status for each, status in statuses.items() if status != 403} == {}
    assert fetch_rows(owner_url, tenant.org_id) == before


@pytest.mark.usefixtures("preview_worker")
async def test_forms_are_accepted_once_however_often_they_are_sent(
    open_browser: OpenBrowser,
    tenant: Tenant,
    owner_url: str,
    issuer_one: HostileSignIn,
    forms: list[Form],
    operator_forms: list[Form],
) -> None:
    operator = await open_operator(open_browser, owner_url, issuer_one)
    choose = await open_senders(open_browser, tenant, operator)
    refused, repeated = dict[str, int](), dict[str, object]()
    for form in sort_last([*forms, *operator_forms], "/console/logout"):
        browser = choose(form)
        token = await browser.get_form_token()
        first = await form.send(browser, token)
        if first.status_code not in {200, 201, 303, 409}:
            refused[form.path] = first.status_code
        if form.path.endswith(("/console/logout", "/trial")):  # the session has ended; a trial is recorded each time
            continue
        before = fetch_rows(owner_url, tenant.org_id)
        second = await form.send(browser, token)
        after = fetch_rows(owner_url, tenant.org_id)
        if after != before or second.status_code >= 500:
            changed = {name: set(rows) ^ set(after[name]) for name, rows in before.items() if rows != after[name]}
            repeated[form.path] = (second.status_code, changed)
    assert refused == {}
    assert repeated == {}


@pytest.mark.usefixtures("preview_worker")
async def test_forms_of_another_organisation_change_nothing(
    open_browser: OpenBrowser, tenant: Tenant, other_tenant: Tenant, owner_url: str, forms: list[Form]
) -> None:
    stranger = open_browser()
    await stranger.sign_in(other_tenant.users[Role.ADMIN], "two")
    token = await stranger.get_form_token()
    before = fetch_rows(owner_url, tenant.org_id)
    own = re.compile(r"/[0-9a-f-]{36}/")
    statuses = {form.path: (await form.send(stranger, token)).status_code for form in forms if own.search(form.path)}
    assert statuses
    assert {path: status for path, status in statuses.items() if status != 404} == {}
    for form in sort_last(forms, "/console/logout"):
        await form.send(stranger, token)
    assert fetch_rows(owner_url, tenant.org_id) == before


@pytest.mark.parametrize("is_member", [True, False], ids=["auditor", "stranger"])
async def test_forms_are_refused_after_the_role_was_removed(
    open_browser: OpenBrowser, tenant: Tenant, owner_url: str, forms: list[Form], *, is_member: bool
) -> None:
    choose = await open_senders(open_browser, tenant)
    tokens = {form.path: await choose(form).get_form_token() for form in forms}
    change = "UPDATE memberships SET role = 'auditor'" if is_member else "DELETE FROM memberships"
    execute(owner_url, f"{change} WHERE org_id = %s", tenant.org_id)
    before = fetch_rows(owner_url, tenant.org_id)
    allowed, status = (OF_EVERY_MEMBER, 403) if is_member else ((), 303)
    for form in forms:
        if not form.path.endswith(allowed):
            response = await form.send(choose(form), tokens[form.path])
            assert response.status_code == status, form.path
            assert response.headers.get("location", "/login").endswith("/login"), form.path
    assert fetch_rows(owner_url, tenant.org_id) == before


async def test_operator_forms_are_refused_after_the_role_was_removed(
    open_browser: OpenBrowser, tenant: Tenant, owner_url: str, issuer_one: HostileSignIn, operator_forms: list[Form]
) -> None:
    operator = await open_operator(open_browser, owner_url, issuer_one)
    token = await operator.get_form_token()
    execute(owner_url, "UPDATE users SET is_operator = false WHERE id = %s", issuer_one.users[-1].id)
    before = fetch_rows(owner_url, tenant.org_id)
    for form in operator_forms:
        response = await form.send(operator, token)
        assert response.status_code == 303, form.path
        assert response.headers["location"].endswith("/console/organisation"), form.path
    assert fetch_rows(owner_url, tenant.org_id) == before


@pytest.mark.usefixtures("preview_worker")
@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=["script", "image", "33,000 characters", "NUL"])
async def test_hostile_texts_in_forms_are_refused_or_shown_as_text(
    open_browser: OpenBrowser, tenant: Tenant, forms: list[Form], text: str
) -> None:
    choose = await open_senders(open_browser, tenant)
    faults = dict[str, object]()
    names = ("display_name", "name", "place", "note", "label", "branch", "reason", "submitted_reference", "description")
    texts = dict.fromkeys((*names, "q", "url", "address", "sha256", "document", "mentors", "next", "period"), text)
    for form in sort_last(forms, "/console/logout"):
        hostile = form._replace(fields=dict(form.fields) | texts, file=form.file and text.encode())
        response = await hostile.send(choose(form), await choose(form).get_form_token())
        problems = find_faults(response.text) if is_page(response) else []
        if response.status_code >= 500 or problems or "<img" in response.text:
            faults[form.path] = (response.status_code, problems)
        if response.status_code == 303:
            page = await choose(form).get(response.headers["location"])
            if page.status_code >= 500 or (is_page(page) and find_faults(page.text)):
                faults[form.path] = (page.status_code, page.text)
    assert faults == {}


async def test_stale_forms_change_nothing(
    open_browser: OpenBrowser, tenant: Tenant, owner_url: str, forms: list[Form]
) -> None:
    choose = await open_senders(open_browser, tenant)
    before = fetch_rows(owner_url, tenant.org_id)
    ends = ("/edit", "/activity", "/submission", "/submission/clear", "/publication")
    activities = "/console/activities/"  # a form that corrects one, and one that deletes one
    stale = [form for form in forms if form.path.endswith(ends) or form.path.startswith(activities)]
    assert len(stale) == len(ends) + 2
    for form in stale:
        old = form._replace(fields=dict(form.fields) | {"revision": "999"})
        response = await old.send(choose(form), await choose(form).get_form_token())
        assert response.status_code == 409, form.path
        assert "Another user was faster" in response.text, form.path
    assert fetch_rows(owner_url, tenant.org_id) == before
