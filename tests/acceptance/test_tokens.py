"""Who may enter: a token of our issuer, for us, still valid; and then the database has the last word."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stafett.domain.membership import Role
from stafett.testing import ExportClient, Tenant
from tests.acceptance.dev_stack import EXPORTS, Tokens, assert_problem

Bearer = Callable[..., dict[str, str]]
Forge = Callable[[Tokens, Tenant], str]


def _good(tokens: Tokens, tenant: Tenant, **said: object) -> str:
    return tokens.token(tenant.coordinator, tenant.org_id, "coordinator", **said)


def _expired(tokens: Tokens, tenant: Tenant) -> str:
    return _good(tokens, tenant, exp=datetime.now(UTC) - timedelta(hours=1))


def _without_expiry(tokens: Tokens, tenant: Tenant) -> str:
    claims = tokens.claims_of(tenant.coordinator, tenant.org_id, "coordinator")
    del claims["exp"]
    return jwt.encode(claims, tokens.private_key, tokens.header["alg"], headers={"kid": tokens.header["kid"]})


def _of_another_key(tokens: Tokens, tenant: Tenant) -> str:
    claims = tokens.claims_of(tenant.coordinator, tenant.org_id, "coordinator")
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": tokens.header["kid"]})


def _unsigned(tokens: Tokens, tenant: Tenant) -> str:
    return jwt.encode(tokens.claims_of(tenant.coordinator, tenant.org_id, "coordinator"), "", "none")


def _signed_with_the_public_key_as_secret(tokens: Tokens, tenant: Tenant) -> str:
    """By hand: a library refuses to commit this one."""
    public = jwt.PyJWK(tokens.jwks["keys"][0]).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(_good(tokens, tenant), options={"verify_signature": False})
    header = {"alg": "HS256", "typ": "JWT", "kid": tokens.header["kid"]}
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    mac = jwt.get_algorithm_by_name("HS256")
    return b".".join([signed, _base64(mac.sign(signed, public))]).decode()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


_FORGED: dict[str, Forge] = {
    "broken": lambda _tokens, _tenant: "not.a.token",
    "cut short": lambda tokens, tenant: _good(tokens, tenant)[:-10],
    "expired": _expired,
    "without expiry": _without_expiry,
    "not valid yet": lambda tokens, tenant: _good(tokens, tenant, nbf=datetime.now(UTC) + timedelta(hours=1)),
    "for another audience": lambda tokens, tenant: _good(tokens, tenant, aud="another-service"),
    "of another issuer": lambda tokens, tenant: _good(tokens, tenant, iss="https://elsewhere.example"),
    "of another key": _of_another_key,
    "alg none": _unsigned,
    "public key as secret": _signed_with_the_public_key_as_secret,
}


async def test_a_good_token_enters(gateway: httpx.AsyncClient, tokens: Tokens, tenant: Tenant) -> None:
    headers = {"Authorization": f"Bearer {_good(tokens, tenant)}"}
    assert (await gateway.get(EXPORTS, headers=headers)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_a_token_nobody_enters(gateway: httpx.AsyncClient, method: str) -> None:
    answer = await gateway.request(method, EXPORTS, json={})
    assert_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
async def test_a_stranger_learns_nothing_of_what_a_body_should_be(gateway: httpx.AsyncClient, media_type: str) -> None:
    assert_problem(await gateway.post(EXPORTS, content=b"{", headers={"Content-Type": media_type}), 401)


@pytest.mark.parametrize("forge", _FORGED.values(), ids=_FORGED.keys())
async def test_a_bad_token_does_not_enter(
    gateway: httpx.AsyncClient, tokens: Tokens, tenant: Tenant, forge: Forge
) -> None:
    token = forge(tokens, tenant)
    answer = await gateway.get(EXPORTS, headers={"Authorization": f"Bearer {token}"})
    assert_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert token not in answer.text


async def test_a_password_is_no_token(gateway: httpx.AsyncClient) -> None:
    assert_problem(await gateway.get(EXPORTS, auth=("coordinator@nhf.example", "x")), 401)


async def test_an_auditor_whose_token_claims_more_stays_an_auditor(
    button: ExportClient, tenant: Tenant, bearer: Bearer
) -> None:
    button.headers = bearer(tenant.users[Role.AUDITOR], role="admin")
    assert_problem(await button.request_export(), 403, "permission_denied")


async def test_a_coordinator_whose_token_claims_less_may_what_the_database_says(
    button: ExportClient, tenant: Tenant, bearer: Bearer
) -> None:
    button.headers = bearer(tenant.coordinator, role="auditor")
    assert (await button.request_export()).status_code == 202


async def test_a_token_that_claims_an_operator_makes_none(
    gateway: httpx.AsyncClient, tokens: Tokens, tenant: Tenant
) -> None:
    listed = await gateway.get(EXPORTS, headers=tokens.bearer(tenant.coordinator, None, "operator"))
    assert_problem(listed, 403, "permission_denied")


async def test_a_token_that_claims_another_organisation_opens_nothing_there(
    button: ExportClient, gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    export_id = await ExportClient(gateway, tenant.org_id, button.headers).start_export()
    assert (await gateway.get(f"{EXPORTS}/{export_id}", headers=button.headers)).status_code == 200
    button.headers = bearer(tenant.coordinator, "nhf")
    assert_problem(await button.request_export(org_id="nhf"), 403, "permission_denied")


async def test_who_has_left_the_organisation_starts_nothing(
    button: ExportClient, tenant: Tenant, owner: psycopg.Connection
) -> None:
    owner.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    assert_problem(await button.request_export(), 403, "permission_denied")


async def test_the_development_issuer_is_discovered_as_any_provider_is(tokens: Tokens) -> None:
    issuer = tokens.claims["iss"]
    async with httpx.AsyncClient() as client:
        discovered = (await client.get(f"{issuer}/.well-known/openid-configuration")).raise_for_status().json()
        published = (await client.get(discovered["jwks_uri"])).raise_for_status().json()
        assert (await client.get(f"{issuer}/elsewhere")).status_code == 404
    assert discovered["issuer"] == issuer
    assert [key["kid"] for key in published["keys"]] == ["development"]
    assert "d" not in published["keys"][0]
