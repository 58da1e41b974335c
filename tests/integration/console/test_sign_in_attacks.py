"""Sign-in attacked: every forged, replayed, injected or foreign part is refused."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from stafett.devstack.sign_in import CLIENT_ID
from stafett.domain.membership import Role
from stafett.testing import Tenant
from tests.support.sign_in import SESSIONS, ConsoleBrowser, HostileSignIn
from tests.support.tokens import create_unsigned_token, sign_with_public_key_as_secret

OpenBrowser = Callable[[], ConsoleBrowser]


def with_query(url: str, **changes: str | None) -> str:
    """Return the URL with other query parameters; None removes one."""
    query = dict(parse_qsl(urlsplit(url).query)) | changes
    return f"{url.partition('?')[0]}?{urlencode({name: value for name, value in query.items() if value is not None})}"


async def assert_refused(browser: ConsoleBrowser, response: httpx.Response, status: int = 400) -> None:
    assert response.status_code == status, response.text
    assert "You are not signed in" in response.text
    assert not await browser.is_signed_in()


# State


@pytest.mark.parametrize("state", [None, "", "forged", "A" * 43, "\0"])
async def test_forged_state_is_refused(browser: ConsoleBrowser, tenant: Tenant, state: str | None) -> None:
    callback = await browser.authorize(await browser.start(), tenant.coordinator)
    await assert_refused(browser, await browser.get(with_query(callback, state=state)))


async def test_callback_of_another_browser_is_refused(open_browser: OpenBrowser, tenant: Tenant) -> None:
    attacker, victim, fresh = (open_browser() for _ in range(3))
    callback = await attacker.authorize(await attacker.start(), tenant.coordinator)
    await victim.start()
    for browser in (victim, fresh):
        await assert_refused(browser, await browser.get(callback))
    assert (await attacker.get(callback)).status_code == 303


async def test_replayed_callback_is_refused(browser: ConsoleBrowser, tenant: Tenant) -> None:
    callback = await browser.authorize(await browser.start(), tenant.coordinator)
    assert (await browser.get(callback)).status_code == 303
    await browser.submit("/console/logout")
    await assert_refused(browser, await browser.get(callback))


async def test_state_of_a_failed_response_is_used_up(browser: ConsoleBrowser, tenant: Tenant) -> None:
    callback = await browser.authorize(await browser.start(), tenant.coordinator)
    failed = with_query(callback, code=None, error="access_denied")
    await assert_refused(browser, await browser.get(failed))
    await assert_refused(browser, await browser.get(callback))


async def test_expired_attempt_is_refused(browser: ConsoleBrowser, tenant: Tenant, owner_url: str) -> None:
    callback = await browser.authorize(await browser.start(), tenant.coordinator)
    state = hashlib.sha256(parse_qs(urlsplit(callback).query)["state"][0].encode()).hexdigest()
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE login_attempts SET expires_at = now() WHERE state_sha256 = %s", [state])
    await assert_refused(browser, await browser.get(callback))


@pytest.mark.parametrize("name", ["state", "code", "iss"])
async def test_repeated_parameter_is_refused(browser: ConsoleBrowser, tenant: Tenant, name: str) -> None:
    callback = await browser.authorize(await browser.start(), tenant.coordinator)
    await assert_refused(browser, await browser.get(f"{callback}&{name}=other"))


# Nonce


@pytest.mark.parametrize("nonce", ["forged", "", ..., 1, None])
async def test_id_token_with_another_nonce_is_refused(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn, nonce: Any
) -> None:
    issuer_one.claims = {"nonce": nonce}
    await assert_refused(browser, await browser.sign_in(tenant.coordinator))


async def test_replayed_id_token_is_refused(
    open_browser: OpenBrowser, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    victim, attacker = open_browser(), open_browser()
    await victim.sign_in(tenant.coordinator)
    issuer_one.id_token = issuer_one.issued_id_tokens[0]
    await assert_refused(attacker, await attacker.sign_in(tenant.users[Role.AUDITOR]))


# Code and PKCE


async def test_forged_code_is_refused(browser: ConsoleBrowser, tenant: Tenant) -> None:
    callback = await browser.authorize(await browser.start(), tenant.coordinator)
    await assert_refused(browser, await browser.get(with_query(callback, code="forged")))


async def test_replayed_code_is_refused(browser: ConsoleBrowser, tenant: Tenant) -> None:
    first = await browser.authorize(await browser.start(), tenant.coordinator)
    code = dict(parse_qsl(urlsplit(first).query))["code"]
    assert (await browser.get(first)).status_code == 303
    await browser.submit("/console/logout")
    second = await browser.authorize(await browser.start(), tenant.coordinator)
    await assert_refused(browser, await browser.get(with_query(second, code=code)))


async def test_code_injected_from_another_sign_in_is_refused(open_browser: OpenBrowser, tenant: Tenant) -> None:
    victim, attacker = open_browser(), open_browser()
    stolen = await victim.authorize(await victim.start(), tenant.users[Role.ADMIN])
    code = dict(parse_qsl(urlsplit(stolen).query))["code"]
    own = await attacker.authorize(await attacker.start(), tenant.coordinator)
    await assert_refused(attacker, await attacker.get(with_query(own, code=code)))


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
    ],
    ids=str,
)
async def test_authorization_without_pkce_is_refused_by_the_issuer(
    browser: ConsoleBrowser, changes: dict[str, str | None]
) -> None:
    url = await browser.start()
    query = parse_qs(urlsplit(url).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    assert (await browser.http.get(with_query(url, **changes))).status_code == 400


@pytest.mark.parametrize("verifier", [None, "", "forged"])
async def test_code_without_its_verifier_is_refused_by_the_issuer(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn, verifier: str | None
) -> None:
    callback = await browser.authorize(await browser.start(), tenant.coordinator)
    form = {
        "grant_type": "authorization_code",
        "code": dict(parse_qsl(urlsplit(callback).query))["code"],
        "redirect_uri": f"{browser.origin}/console/callback",
    } | ({} if verifier is None else {"code_verifier": verifier})
    client = httpx.BasicAuth(CLIENT_ID, issuer_one.client_secret)
    response = await browser.http.post(f"{issuer_one.issuer.url}/token", data=form, auth=client)
    assert (response.status_code, response.json()) == (400, {"error": "invalid_grant"})
    await assert_refused(browser, await browser.get(callback))


async def test_downgrade_by_an_attacker_between_browser_and_issuer_is_refused(
    browser: ConsoleBrowser, tenant: Tenant
) -> None:
    """The attacker replaces the challenge by that of a verifier which they know."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"known").digest()).decode().rstrip("=")
    url = with_query(await browser.start(), code_challenge=challenge)
    await assert_refused(browser, await browser.get(await browser.authorize(url, tenant.coordinator)))


async def test_issuer_without_s256_is_not_used(browser: ConsoleBrowser, issuer_one: HostileSignIn) -> None:
    issuer_one.metadata = {"code_challenge_methods_supported": ["plain"]}
    await assert_refused(browser, await browser.get("/console/login/one"))


# Redirects


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/console",
        "/\\evil.example",
        "/console\\@evil.example",
        "/console@evil.example",
        "/consoleevil",
        "/api/v1/bufdir-exports",
        "javascript:alert(1)",
        "/console/\r\nSet-Cookie: x=y",
        "/console/\t",
        "/console/../../evil",
        "/console/%2e%2E/evil",
        "/console/" + "x" * 1000,
        "",
    ],
)
async def test_redirect_after_sign_in_stays_in_the_console(
    browser: ConsoleBrowser, tenant: Tenant, target: str
) -> None:
    response = await browser.sign_in(tenant.coordinator, return_path=target)
    assert response.headers["location"] == f"{browser.origin}/console"
    response = await browser.submit("/console/organisation", organisation=tenant.org_id, next=target)
    assert response.headers["location"] == f"{browser.origin}/console"


async def test_redirect_uri_of_another_site_is_refused_by_the_issuer(browser: ConsoleBrowser) -> None:
    url = await browser.start()
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == [f"{browser.origin}/console/callback"]
    for uri in ("https://evil.example/console/callback", f"{browser.origin}/console/callback/x"):
        assert (await browser.http.get(with_query(url, redirect_uri=uri))).status_code == 400


# Sessions and cookies


async def test_cookie_from_before_the_sign_in_is_replaced(open_browser: OpenBrowser, tenant: Tenant) -> None:
    victim = open_browser()
    planted = "A" * 43
    victim.http.cookies.set(victim.cookie_name, planted, domain="127.0.0.1", path="/")
    assert not await victim.is_signed_in()
    await victim.sign_in(tenant.coordinator)
    assert victim.read_cookie() != planted
    attacker = open_browser()
    attacker.http.cookies.set(attacker.cookie_name, planted, domain="127.0.0.1", path="/")
    assert not await attacker.is_signed_in()


async def test_session_planted_by_an_attacker_is_not_upgraded(open_browser: OpenBrowser, tenant: Tenant) -> None:
    attacker, victim = open_browser(), open_browser()
    await attacker.sign_in(tenant.users[Role.AUDITOR])
    victim.http.cookies.set(victim.cookie_name, attacker.read_cookie(), domain="127.0.0.1", path="/")
    await victim.sign_in(tenant.users[Role.ADMIN])
    assert "as administrator." in (await victim.get("/console")).text
    assert victim.read_cookie() != attacker.read_cookie()
    assert not await attacker.is_signed_in()


async def test_login_cookie_is_no_session(browser: ConsoleBrowser) -> None:
    await browser.start()
    cookie = f"{browser.cookie_name}={browser.read_cookie('stafett-login-')}"
    assert (await browser.get(SESSIONS, Cookie=cookie)).status_code == 303


async def test_ambiguous_or_malformed_cookie_is_no_session(browser: ConsoleBrowser, tenant: Tenant) -> None:
    """A neighbouring host of the same site can add a cookie of the same name, but not one with the prefix."""
    await browser.sign_in(tenant.coordinator)
    name, secret = browser.cookie_name, browser.read_cookie()
    for cookie in (f"{name}={secret}; {name}={'A' * 43}", f"{name}={'A' * 43}", f"{name}={secret}x", f"{name}="):
        assert (await browser.get(SESSIONS, Cookie=cookie)).status_code == 303
    for other in ("stafett", f"__Host-{name}", "__Host-stafett", f"{name}0"):
        assert (await browser.get(SESSIONS, Cookie=f"{other}={secret}")).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example", ""])
async def test_cookie_sent_to_another_host_name_is_refused(browser: ConsoleBrowser, tenant: Tenant, host: str) -> None:
    await browser.sign_in(tenant.coordinator)
    form = {"form_token": await browser.get_form_token()}
    assert (await browser.get("/console", Host=host)).status_code == 421
    assert (await browser.http.post("/console/logout", data=form, headers={"Host": host})).status_code == 421
    assert await browser.is_signed_in()


# Forms


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
        {"Origin": "", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": ""},
    ],
    ids=str,
)
async def test_form_of_another_site_is_refused(
    browser: ConsoleBrowser, tenant: Tenant, headers: dict[str, str]
) -> None:
    await browser.sign_in(tenant.coordinator)
    form = {"form_token": await browser.get_form_token()}
    for path in ("/console/logout", "/console/organisation", SESSIONS):
        assert (await browser.post(path, form, **headers)).status_code == 403
    assert await browser.is_signed_in()


@pytest.mark.parametrize("headers", [{"Origin": ""}, {"Sec-Fetch-Site": ""}], ids=str)
async def test_form_needs_only_one_of_the_two_headers(
    browser: ConsoleBrowser, tenant: Tenant, headers: dict[str, str]
) -> None:
    await browser.sign_in(tenant.coordinator)
    form = {"form_token": await browser.get_form_token()}
    assert (await browser.post("/console/logout", form, **headers)).status_code == 303


async def test_form_without_the_token_of_its_session_is_refused(open_browser: OpenBrowser, tenant: Tenant) -> None:
    browser, attacker = open_browser(), open_browser()
    await browser.sign_in(tenant.coordinator)
    await attacker.sign_in(tenant.users[Role.AUDITOR])
    token = await browser.get_form_token()
    for forged in (await attacker.get_form_token(), "", "x", "æ", browser.read_cookie(), token.upper()):
        for path in ("/console/logout", "/console/organisation", SESSIONS):
            assert (await browser.post(path, {"form_token": forged})).status_code == 403
    for path in ("/console/logout", f"/console/logout?form_token={token}"):
        assert (await browser.post(path, {"session": ""})).status_code == 403
    assert await browser.is_signed_in()


async def test_body_that_is_no_form_is_refused(browser: ConsoleBrowser, tenant: Tenant) -> None:
    await browser.sign_in(tenant.coordinator)
    token = await browser.get_form_token()
    source = {"Origin": browser.origin}
    for body in ({"json": {"form_token": token}}, {"files": {"form_token": token.encode()}}):
        response = await browser.http.post("/console/logout", headers=source, **body)
        assert response.status_code == 415
    large = await browser.post("/console/logout", {"form_token": token, "x": "x" * 600_000})
    many = await browser.post("/console/logout", {"form_token": token} | {f"x{number}": "" for number in range(1001)})
    assert [large.status_code, many.status_code] == [413, 400]
    assert "The form is too large" in large.text
    assert await browser.is_signed_in()


# ID tokens


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-client"},
        {"aud": "stafett"},
        {"aud": [CLIENT_ID, "another-client"]},
        {"aud": [CLIENT_ID, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"aud": ...},
        {"iss": "https://issuer.example"},
        {"iss": ...},
        {"sub": ...},
        {"sub": 1},
        {"exp": 1},
        {"exp": ...},
        {"iat": ...},
        {"nbf": 4_000_000_000},
        {"at_hash": "forged"},
    ],
    ids=str,
)
async def test_id_token_with_invalid_claims_is_refused(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn, claims: dict[str, Any]
) -> None:
    issuer_one.claims = claims
    await assert_refused(browser, await browser.sign_in(tenant.coordinator))


async def test_forged_id_token_is_refused(browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn) -> None:
    url = await browser.start()
    user = next(user for user in issuer_one.users if user.id == tenant.coordinator)
    claims = issuer_one.create_claims(user, parse_qs(urlsplit(url).query)["nonce"][0])
    (key,) = issuer_one.issuer.load_jwks()["keys"]
    other_key, public_key = ec.generate_private_key(ec.SECP256R1()), jwt.PyJWK(key).key
    forged_tokens = (
        create_unsigned_token(claims, key["kid"]),
        sign_with_public_key_as_secret(claims, key["kid"], public_key),
        jwt.encode(claims, other_key, "ES256", headers={"kid": key["kid"]}),
        jwt.encode(claims, other_key, "ES256", headers={"kid": "unknown"}),
        jwt.encode(claims, other_key, "ES256"),
        "",
        "x.y.z",
        "x" * 20_000,
        json.dumps(claims),
    )
    for forged in forged_tokens:
        issuer_one.id_token = forged
        await assert_refused(browser, await browser.sign_in(tenant.coordinator))


async def test_tokens_of_the_api_and_of_the_console_are_not_interchangeable(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn
) -> None:
    await browser.sign_in(tenant.coordinator)
    api = "/api/v1/bufdir-exports"
    assert (await browser.get(api)).status_code == 401
    bearers = (*issuer_one.issued_id_tokens, browser.read_cookie())
    assert [(await browser.get(api, Authorization=f"Bearer {each}")).status_code for each in bearers] == [401, 401]
    issuer_one.id_token = issuer_one.issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    await browser.submit("/console/logout")
    await assert_refused(browser, await browser.sign_in(tenant.coordinator))


# Several issuers


async def test_foreign_issuer_with_the_same_subject_is_another_identity(
    browser: ConsoleBrowser, tenant: Tenant, issuer_two: HostileSignIn
) -> None:
    await browser.sign_in(tenant.coordinator)
    await browser.submit("/console/logout")
    issuer_two.claims = {"email": ...}
    await assert_refused(browser, await browser.sign_in(tenant.coordinator, "two"), 403)


async def test_foreign_issuer_cannot_claim_an_address_of_another_organisation(
    browser: ConsoleBrowser, tenant: Tenant, issuer_two: HostileSignIn, owner_url: str
) -> None:
    await assert_refused(browser, await browser.sign_in(tenant.coordinator, "two"), 403)
    with psycopg.connect(owner_url) as owner:
        links = owner.execute("SELECT FROM user_identities WHERE issuer = %s", [issuer_two.issuer.url]).fetchall()
    assert links == []


async def test_foreign_issuer_vouches_only_for_its_own_organisation(
    browser: ConsoleBrowser, tenant: Tenant, other_tenant: Tenant, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as owner:
        owner.execute(
            "INSERT INTO memberships VALUES (%s, %s, 'auditor')", [tenant.users[Role.ADMIN], other_tenant.org_id]
        )
        owner.execute("UPDATE users SET is_operator = true WHERE id = %s", [tenant.users[Role.ADMIN]])
    await browser.sign_in(tenant.users[Role.ADMIN], "two")
    assert "as auditor." in (await browser.get("/console")).text
    for org_id in (tenant.org_id, ""):
        assert (await browser.submit("/console/organisation", organisation=org_id)).status_code == 403
    with psycopg.connect(owner_url) as owner:
        for stored in (tenant.org_id, None):
            owner.execute("UPDATE user_sessions SET org_id = %s WHERE user_id = %s", [stored, tenant.users[Role.ADMIN]])
            owner.commit()
            response = await browser.get("/console")
            assert urlsplit(response.headers["location"]).path == "/console/organisation"


async def test_response_of_another_issuer_is_refused(
    browser: ConsoleBrowser, tenant: Tenant, issuer_two: HostileSignIn
) -> None:
    for issuer in (issuer_two.issuer.url, "", None):
        callback = await browser.authorize(await browser.start(), tenant.coordinator)
        await assert_refused(browser, await browser.get(with_query(callback, iss=issuer)))


async def test_id_token_of_another_issuer_is_refused(
    browser: ConsoleBrowser, tenant: Tenant, issuer_one: HostileSignIn, issuer_two: HostileSignIn
) -> None:
    url = await browser.start()
    user = issuer_one.users[0]
    issuer_one.id_token = issuer_two.issuer.sign_claims(
        issuer_one.create_claims(user, parse_qs(urlsplit(url).query)["nonce"][0])
    )
    await assert_refused(browser, await browser.get(await browser.authorize(url, tenant.coordinator)))


async def test_discovery_document_of_another_issuer_is_refused(
    browser: ConsoleBrowser, issuer_one: HostileSignIn, issuer_two: HostileSignIn
) -> None:
    issuer_one.metadata = {"issuer": issuer_two.issuer.url}
    await assert_refused(browser, await browser.get("/console/login/one"))
