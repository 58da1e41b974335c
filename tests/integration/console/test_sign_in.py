"""Signing in and out, the choice of an organisation, and the sessions of a user."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import psycopg
import pytest

from api.app import create_app
from stafett.database.maintenance import MaintenanceDatabase
from stafett.domain.membership import Role
from stafett.people.sessions import delete_expired_sessions
from stafett.settings import Settings, SignInSettings, require_setting
from stafett.testing import Tenant, create_operator
from tests.support.sign_in import SESSIONS, ConsoleBrowser, HostileSignIn

OpenBrowser = Callable[[], ConsoleBrowser]


def execute(owner_url: str, statement: str, *values: object) -> None:
    with psycopg.connect(owner_url) as owner:
        owner.execute(statement.encode(), values)


async def test_user_signs_in_and_sees_their_organisation(browser: ConsoleBrowser, tenant: Tenant) -> None:
    response = await browser.sign_in(tenant.coordinator)
    assert response.headers["location"] == f"{browser.origin}/console"
    home = await browser.get("/console")
    assert home.status_code == 200
    assert "You are signed in as Prøve Prøvesen." in home.text
    assert "You act for Prøveforbundet as coordinator." in home.text


async def test_page_without_session_leads_to_sign_in_and_back(browser: ConsoleBrowser, tenant: Tenant) -> None:
    assert (await browser.get("/")).headers["location"] == f"{browser.origin}/console"
    redirect = await browser.get("/console/organisation?x=1&y=å")
    login = urlsplit(redirect.headers["location"])
    assert (redirect.status_code, login.path) == (303, "/console/login")
    return_path = parse_qs(login.query)["next"][0]
    response = await browser.sign_in(tenant.coordinator, return_path=return_path)
    assert response.headers["location"] == f"{browser.origin}/console/organisation?x=1&y=%C3%A5"


async def test_language_of_the_browser_and_of_the_switch_becomes_that_of_the_emails(
    browser: ConsoleBrowser, tenant: Tenant, owner_url: str
) -> None:
    def load_languages() -> dict[UUID, str | None]:
        query = "SELECT id, language FROM users WHERE id = ANY (%s)"
        with psycopg.connect(owner_url) as owner:
            return dict(owner.execute(query, [list(tenant.users.values())]).fetchall())

    unknown = dict.fromkeys(tenant.users.values())
    await browser.get("/console/login?lang=nn")
    assert load_languages() == unknown
    await browser.sign_in(tenant.coordinator)
    assert load_languages() == unknown | {tenant.coordinator: "nn"}
    await browser.get("/console/reports?lang=en")
    await browser.get("/console/reports?lang=de")
    assert load_languages() == unknown | {tenant.coordinator: "en"}


async def test_login_page_lists_the_issuers(browser: ConsoleBrowser, issuer_one: HostileSignIn) -> None:
    page = await browser.get("/console/login?next=/console/sessions")
    assert 'href="/console/login/one?next=/console/sessions"' in page.text
    assert 'href="/console/login/two?next=/console/sessions"' in page.text
    assert f"Sign in with Issuer {issuer_one.issuer.url}" in page.text


async def test_cookie_is_invisible_to_scripts_and_other_sites(browser: ConsoleBrowser, tenant: Tenant) -> None:
    cookies = (await browser.sign_in(tenant.coordinator)).headers.get_list("set-cookie")
    (cookie,) = [cookie for cookie in cookies if cookie.startswith(f"{browser.cookie_name}=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


async def test_sign_out_ends_the_session_here_and_at_the_provider(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    await browser.sign_in(tenant.coordinator)
    stolen = {"Cookie": f"{browser.cookie_name}={browser.read_cookie()}"}
    response = await browser.submit("/console/logout")
    logout = urlsplit(response.headers["location"])
    assert f"{logout.scheme}://{logout.netloc}{logout.path}" == f"{issuer_one.issuer.url}/logout"
    assert parse_qs(logout.query)["id_token_hint"] == issuer_one.issued_id_tokens
    back = (await browser.http.get(response.headers["location"])).headers["location"]
    assert "You are signed out of Stafett." in (await browser.get(back)).text
    assert not await browser.is_signed_in()
    assert (await browser.get(SESSIONS, **stolen)).status_code == 303


async def test_provider_without_sign_out_leads_back_to_the_login_page(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    issuer_one.metadata = {"end_session_endpoint": None}
    await browser.sign_in(tenant.coordinator)
    response = await browser.submit("/console/logout")
    assert response.headers["location"] == f"{browser.origin}/console/login?signed_out=true"


async def test_member_of_two_organisations_chooses_and_can_change(
    browser: ConsoleBrowser, tenant: Tenant, other_tenant: Tenant, owner_url: str
) -> None:
    execute(owner_url, "INSERT INTO memberships VALUES (%s, %s, 'auditor')", tenant.coordinator, other_tenant.org_id)
    await browser.sign_in(tenant.coordinator)
    assert urlsplit((await browser.get("/console")).headers["location"]).path == "/console/organisation"
    for org_id, role in ((other_tenant.org_id, "auditor"), (tenant.org_id, "coordinator")):
        response = await browser.submit("/console/organisation", organisation=org_id, next="/console?x=1")
        assert response.headers["location"] == f"{browser.origin}/console?x=1"
        assert f"as {role}." in (await browser.get("/console")).text
    execute(owner_url, "DELETE FROM memberships WHERE org_id = %s", other_tenant.org_id)
    assert "as coordinator." in (await browser.get("/console")).text


async def test_user_cannot_choose_an_organisation_of_others(
    browser: ConsoleBrowser, tenant: Tenant, other_tenant: Tenant
) -> None:
    await browser.sign_in(tenant.coordinator)
    for org_id in (other_tenant.org_id, "", "nowhere"):
        assert (await browser.submit("/console/organisation", organisation=org_id)).status_code == 403
    assert "as coordinator." in (await browser.get("/console")).text


async def test_operator_acts_for_no_organisation(
    browser: ConsoleBrowser, issuer_one: HostileSignIn, owner_url: str
) -> None:
    operator = create_operator(owner_url)
    issuer_one.users = [*issuer_one.users, issuer_one.users[0]._replace(id=operator, email=f"{operator}@example.org")]
    await browser.sign_in(operator)
    assert "You act as an operator of the service." in (await browser.get("/console")).text


async def test_removed_member_loses_access_with_the_next_request(
    browser: ConsoleBrowser, tenant: Tenant, owner_url: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    execute(owner_url, "UPDATE memberships SET role = 'auditor' WHERE user_id = %s", tenant.coordinator)
    assert "as auditor." in (await browser.get("/console")).text
    execute(owner_url, "DELETE FROM memberships WHERE user_id = %s", tenant.coordinator)
    assert not await browser.is_signed_in()
    execute(owner_url, "INSERT INTO memberships VALUES (%s, %s, 'coordinator')", tenant.coordinator, tenant.org_id)
    assert not await browser.is_signed_in()  # a new invitation does not bring an old session back


async def test_user_lists_and_ends_their_own_sessions_only(open_browser: OpenBrowser, tenant: Tenant) -> None:
    first, second, third, stranger = (open_browser() for _ in range(4))
    for browser, name in ((first, "Lynx"), (second, "<b>Opera</b>"), (third, "Elinks")):
        browser.http.headers["User-Agent"] = name
        await browser.sign_in(tenant.coordinator)
    await stranger.sign_in(tenant.users[Role.ADMIN])
    page = (await first.get(SESSIONS)).text
    assert all(name in page for name in ("Lynx", "&lt;b&gt;Opera&lt;/b&gt;", "Elinks"))
    session_id = page.split("&lt;b&gt;Opera")[1].split('name="session" value="')[1][:36]
    assert session_id not in (await stranger.get(SESSIONS)).text
    assert (await stranger.submit(SESSIONS, session=session_id)).status_code == 303
    assert await second.is_signed_in()
    assert (await first.submit(SESSIONS, session=session_id)).status_code == 303
    assert not await second.is_signed_in()
    await first.submit(SESSIONS)
    assert [await each.is_signed_in() for each in (first, third, stranger)] == [True, False, True]


@pytest.mark.parametrize("session_id", ["", "x", "0"])
async def test_invalid_id_of_a_session_is_refused(browser: ConsoleBrowser, tenant: Tenant, session_id: str) -> None:
    await browser.sign_in(tenant.coordinator)
    assert (await browser.submit(SESSIONS, session=session_id)).status_code == 403


@pytest.mark.parametrize("column", ["idle_expires_at", "expires_at"])
async def test_session_ends_when_idle_and_at_its_latest(
    browser: ConsoleBrowser, tenant: Tenant, owner_url: str, column: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    execute(
        owner_url,
        "UPDATE user_sessions SET idle_expires_at = now(),"
        " expires_at = CASE WHEN %s = 'expires_at' THEN now() ELSE expires_at END WHERE user_id = %s",
        column,
        tenant.coordinator,
    )
    assert not await browser.is_signed_in()


async def test_use_extends_a_session_but_never_past_its_latest_end(
    browser: ConsoleBrowser, tenant: Tenant, owner_url: str
) -> None:
    await browser.sign_in(tenant.coordinator)
    query = "SELECT idle_expires_at < expires_at, idle_expires_at > now() + interval '50 minutes' FROM user_sessions"
    for lifetime, expected in (("12 hours", (True, True)), ("10 minutes", (False, False))):
        execute(
            owner_url,
            "UPDATE user_sessions SET last_used_at = now() - interval '5 minutes', expires_at = now() + %s::interval,"
            " idle_expires_at = now() + interval '5 minutes' WHERE user_id = %s",
            lifetime,
            tenant.coordinator,
        )
        assert await browser.is_signed_in()
        with psycopg.connect(owner_url) as owner:
            assert owner.execute(f"{query} WHERE user_id = %s".encode(), [tenant.coordinator]).fetchone() == expected


async def test_database_has_only_hashes_of_the_secrets(browser: ConsoleBrowser, tenant: Tenant, owner_url: str) -> None:
    state = parse_qs(urlsplit(await browser.start()).query)["state"][0]
    await browser.sign_in(tenant.coordinator)
    with psycopg.connect(owner_url) as owner:
        rows = owner.execute("SELECT s::text FROM user_sessions s").fetchall()
        rows += owner.execute("SELECT a::text FROM login_attempts a").fetchall()
    assert rows
    secrets = (browser.read_cookie(), browser.read_cookie("stafett-login-"), state)
    assert not [secret for (row,) in rows for secret in secrets if secret in row]


async def test_maintenance_deletes_expired_sessions_and_attempts_only(
    open_browser: OpenBrowser, tenant: Tenant, owner_url: str, settings: Settings
) -> None:
    expired, valid, starting = (open_browser() for _ in range(3))
    await expired.sign_in(tenant.coordinator)
    execute(owner_url, "UPDATE user_sessions SET idle_expires_at = now() WHERE user_id = %s", tenant.coordinator)
    await expired.start()
    execute(owner_url, "UPDATE login_attempts SET expires_at = now()")
    await valid.sign_in(tenant.users[Role.ADMIN])
    pending = await starting.start()
    maintenance = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
    delete_expired_sessions(maintenance)
    maintenance.close()
    with psycopg.connect(owner_url) as owner:
        left = owner.execute("SELECT user_id FROM user_sessions WHERE idle_expires_at <= now()").fetchall()
        left += owner.execute("SELECT state_sha256 FROM login_attempts WHERE expires_at <= now()").fetchall()
    assert left == []
    assert await valid.is_signed_in()
    response = await starting.get(await starting.authorize(pending, tenant.coordinator))
    assert response.headers["location"] == f"{starting.origin}/console"


async def test_unavailable_issuer_is_reported_as_such(browser: ConsoleBrowser, issuer_one: HostileSignIn) -> None:
    issuer_one.metadata = {"authorization_endpoint": None}
    page = await browser.get("/console/login/one")
    assert page.status_code == 503
    assert "A service is unavailable" in page.text


async def test_errors_are_pages_with_the_request_id(browser: ConsoleBrowser) -> None:
    for path, status in (("/console/nowhere", 404), ("/console/login/nowhere", 404), ("/console/logout", 405)):
        response = await browser.get(path, **{"X-Request-ID": "id-of-this-request"})
        assert response.status_code == status
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "id-of-this-request" in response.text


async def test_pages_have_a_strict_policy_and_no_script(browser: ConsoleBrowser, tenant: Tenant) -> None:
    login = await browser.get("/console/login")
    await browser.sign_in(tenant.coordinator)
    for page in (login, await browser.get("/console"), await browser.get("/console/nowhere")):
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; ")
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert "<script" not in page.text
        assert "style=" not in page.text


async def test_clocks_may_differ_by_the_configured_leeway(
    open_browser: OpenBrowser, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    now = issuer_one.create_claims(issuer_one.users[0], "")["iat"]
    for skew, is_accepted in ((10, True), (-10, True), (3600, False), (-3600, False)):
        issuer_one.claims = {"iat": now + skew, "exp": now + skew} if skew < 0 else {"iat": now + skew}
        browser = open_browser()
        await browser.sign_in(tenant.coordinator)
        assert await browser.is_signed_in() is is_accepted


async def test_only_a_verified_address_identifies_a_new_user(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    for claims in ({"email_verified": False}, {"email_verified": "true"}, {"email_verified": ...}, {"email": ...}):
        issuer_one.claims = claims
        assert (await browser.sign_in(tenant.coordinator)).status_code == 403
    issuer_one.claims = {}
    assert (await browser.sign_in(tenant.coordinator)).status_code == 303


async def test_api_works_without_sign_in(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"sign_in": SignInSettings()}))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.get("/healthz")).status_code == 200
        for path in ("/", "/console", "/console/login"):
            assert (await client.get(path)).status_code == 404


async def test_member_signs_in_at_the_issuer_of_their_organisation(
    browser: ConsoleBrowser, other_tenant: Tenant
) -> None:
    await browser.sign_in(other_tenant.coordinator, "two")
    assert "as coordinator." in (await browser.get("/console")).text
