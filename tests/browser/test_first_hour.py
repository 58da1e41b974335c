"""From an empty database to a downloaded export without SQL: migration, commands, the API and a browser only."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from psycopg import sql
from pydantic import AnyHttpUrl, SecretStr

from api.app import create_app
from stafett.database.migrate import migrate
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.sign_in import DevUser
from stafett.settings import AuthSettings, DatabaseSettings, Settings, SignInSettings
from stafett.testing import Json
from tests.support.dev_stack import run_stafett_process
from tests.support.fixture_types import RunWorker
from tests.support.http_server import ReservedPort, reserve_port, serve_app
from tests.support.sign_in import HostileSignIn, run_issuer

COORDINATOR_ID = uuid4()
ORG, ADMIN, COORDINATOR = "nyforbundet", "leder@nyforbundet.example", "kari@nyforbundet.example"
MENTORS = "display_name;branch;approved_at\r\nÅse Ødegård;Tromsø;01.02.2026\r\nOla Nordmann;Bodø;\r\n"
ACTIVITY = {
    "activity_type": "samtalegruppe",
    "starts_at": "2026-03-02T18:00:00+01:00",
    "duration_minutes": 60,
    "participants": 5,
    "new_participants": 1,
    "place": "Tromsø",
    "in_person": True,
    "in_norway": True,
}


@pytest.fixture
def identity_provider(tmp_path: Path) -> Iterator[HostileSignIn]:
    """The organisation's identity provider, which knows the coordinator."""
    with run_issuer(tmp_path / "provider", [DevUser(COORDINATOR_ID, COORDINATOR, "coordinator")]) as provider:
        yield provider


@pytest.fixture
def port() -> Iterator[ReservedPort]:
    with reserve_port() as port:
        yield port


@pytest.fixture
def settings(
    settings: Settings, issuer: DevIssuer, identity_provider: HostileSignIn, owner_url: str, port: ReservedPort
) -> Iterator[Settings]:
    """Settings of a production installation whose database is migrated and empty."""
    name = f"p{uuid4().hex[:12]}"
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    urls = {
        field: SecretStr(f"{url.get_secret_value().rpartition('/')[0]}/{name}")
        for field, url in settings.database
        if isinstance(url, SecretStr)
    }
    database = DatabaseSettings.model_validate(settings.database.model_dump() | urls)
    migrate(database)
    identity_provider.register_console(port.origin)
    issuers = {"nyforbundet": identity_provider.issuer_settings({ORG})}
    sign_in = SignInSettings(public_url=AnyHttpUrl(port.origin), issuers=issuers)
    auth = AuthSettings(jwks_file=issuer.jwks_file)
    yield settings.model_copy(update={"database": database, "auth": auth, "sign_in": sign_in})
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def owner_environment(settings: Settings) -> Mapping[str, str]:
    assert settings.database.owner_url is not None
    return {"STAFETT_DATABASE__OWNER_URL": settings.database.owner_url.get_secret_value()}


@pytest_asyncio.fixture(loop_scope="session")
async def api_url(settings: Settings, port: ReservedPort) -> AsyncIterator[str]:
    async with serve_app(create_app(settings), port=port) as url:
        yield url


async def run_json(env: Mapping[str, str], *args: object) -> Json:
    result: Json = (await run_stafett_process(*args, "--json", env=env)).require_success().json
    return result


async def test_first_export_of_a_new_installation_needs_no_sql(
    owner_environment: Mapping[str, str],
    api_url: str,
    issuer: DevIssuer,
    run_worker: RunWorker,
    page: Page,
    tmp_path: Path,
) -> None:
    def environment_of(address: str) -> Mapping[str, str]:
        claims = {"sub": f"oidc|{address}", "email": address, "email_verified": True}
        token = issuer.create_token(uuid4(), ORG, "auditor", **claims)
        return {"STAFETT_API_URL": api_url, "STAFETT_TOKEN": token}

    add = ("organisation", "add", ORG, "Nyforbundet", "--admin", ADMIN)
    (await run_stafett_process(*add, env=owner_environment)).require_success()
    (await run_stafett_process("operator", "add", "drift@example.org", env=owner_environment)).require_success()
    assert await run_json(owner_environment, "organisation", "list") == {"items": [{"id": ORG, "name": "Nyforbundet"}]}
    assert [each["address"] for each in (await run_json(owner_environment, "operator", "list"))["items"]] == [
        "drift@example.org"
    ]

    admin, coordinator = environment_of(ADMIN), environment_of(COORDINATOR)
    await run_json(admin, "member", "add", COORDINATOR, "--org", ORG, "--role", "auditor")
    await run_json(admin, "member", "role", COORDINATOR, "--org", ORG, "--role", "coordinator")
    members = (await run_json(admin, "member", "list", "--org", ORG))["items"]
    assert {member["address"]: (member["role"], member["status"]) for member in members} == {
        ADMIN: ("admin", "active"),
        COORDINATOR: ("coordinator", "invited"),
    }

    mentor_file, batch_file = tmp_path / "mentors.csv", tmp_path / "batch.json"
    mentor_file.write_text(MENTORS, encoding="utf-8", newline="")
    imported = await run_json(coordinator, "mentor", "import", mentor_file, "--org", ORG)
    items = [{"mentor_id": row["mentor_id"]} for row in imported["rows"]]
    batch_file.write_text(json.dumps({"org_id": ORG, "activity": ACTIVITY, "items": items}))
    async with run_worker():
        batch = await run_json(coordinator, "bulk", "start", batch_file, "--watch")
        assert batch["counts"]["registered"] == 2
        period = ("--start", "2026-01-01", "--end", "2026-12-31")
        export = await run_json(coordinator, "export", "start", "--org", ORG, *period, "--format", "csv", "--watch")
    assert (export["status"], export["row_count"]) == ("completed", 2)
    await run_stafett_process("export", "download", export["id"], "--output", tmp_path / "report.csv", env=coordinator)
    assert "Åse Ødegård" in (tmp_path / "report.csv").read_text(encoding="utf-8-sig")

    await page.goto(f"{api_url}/console/exports/{export['id']}?lang=en")
    await page.get_by_role("link", name="Sign in with").click()
    await page.get_by_role("button", name=COORDINATOR).click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name=re.compile("^Download .*csv$")).click()
    assert (await (await download.value).path()).read_bytes() == (tmp_path / "report.csv").read_bytes()
    (await run_stafett_process("member", "remove", COORDINATOR, "--org", ORG, env=admin)).require_success()
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    denied = await run_stafett_process("mentor", "list", "--org", ORG, env=coordinator)
    denied.assert_one_line_error("permission_denied")
