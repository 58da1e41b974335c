"""Authentication with tokens of the development issuer; permissions come from the database, not from the token."""

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
from tests.support.dev_stack import EXPORTS, Tokens, assert_problem
from tests.support.fixture_types import Bearer

CreateToken = Callable[[Tokens, Tenant], str]


def _create_valid_token(tokens: Tokens, tenant: Tenant, **claims: object) -> str:
    return tokens.create_token(tenant.coordinator, tenant.org_id, "coordinator", **claims)


def _create_expired_token(tokens: Tokens, tenant: Tenant) -> str:
    return _create_valid_token(tokens, tenant, exp=datetime.now(UTC) - timedelta(hours=1))


def _create_token_without_expiry(tokens: Tokens, tenant: Tenant) -> str:
    claims = tokens.build_claims(tenant.coordinator, tenant.org_id, "coordinator")
    del claims["exp"]
    return jwt.encode(claims, tokens.private_key, tokens.header["alg"], headers={"kid": tokens.header["kid"]})


def _sign_with_another_key(tokens: Tokens, tenant: Tenant) -> str:
    claims = tokens.build_claims(tenant.coordinator, tenant.org_id, "coordinator")
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": tokens.header["kid"]})


def _create_unsigned_token(tokens: Tokens, tenant: Tenant) -> str:
    return jwt.encode(tokens.build_claims(tenant.coordinator, tenant.org_id, "coordinator"), "", "none")


def _sign_with_public_key_as_secret(tokens: Tokens, tenant: Tenant) -> str:
    """Create the token without `jwt.encode`, which refuses to sign with this key."""
    public = jwt.PyJWK(tokens.jwks["keys"][0]).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(_create_valid_token(tokens, tenant), options={"verify_signature": False})
    header = {"alg": "HS256", "typ": "JWT", "kid": tokens.header["kid"]}
    signing_input = b".".join(_encode_base64(json.dumps(part).encode()) for part in (header, claims))
    mac = jwt.get_algorithm_by_name("HS256")
    return b".".join([signing_input, _encode_base64(mac.sign(signing_input, public))]).decode()


def _encode_base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


_INVALID_TOKENS: dict[str, CreateToken] = {
    "malformed": lambda _tokens, _tenant: "not.a.token",
    "truncated": lambda tokens, tenant: _create_valid_token(tokens, tenant)[:-10],
    "expired": _create_expired_token,
    "without expiry": _create_token_without_expiry,
    "not valid yet": lambda tokens, tenant: _create_valid_token(
        tokens, tenant, nbf=datetime.now(UTC) + timedelta(hours=1)
    ),
    "for another audience": lambda tokens, tenant: _create_valid_token(tokens, tenant, aud="another-service"),
    "from another issuer": lambda tokens, tenant: _create_valid_token(tokens, tenant, iss="https://elsewhere.example"),
    "signed with another key": _sign_with_another_key,
    "alg none": _create_unsigned_token,
    "public key as secret": _sign_with_public_key_as_secret,
}


async def test_valid_token_is_accepted(api_client: httpx.AsyncClient, tokens: Tokens, tenant: Tenant) -> None:
    headers = {"Authorization": f"Bearer {_create_valid_token(tokens, tenant)}"}
    assert (await api_client.get(EXPORTS, headers=headers)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_request_without_a_token_is_unauthenticated(api_client: httpx.AsyncClient, method: str) -> None:
    response = await api_client.request(method, EXPORTS, json={})
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
async def test_body_of_a_request_without_a_token_is_not_validated(
    api_client: httpx.AsyncClient, media_type: str
) -> None:
    assert_problem(await api_client.post(EXPORTS, content=b"{", headers={"Content-Type": media_type}), 401)


@pytest.mark.parametrize("create_token", _INVALID_TOKENS.values(), ids=_INVALID_TOKENS.keys())
async def test_invalid_token_is_rejected(
    api_client: httpx.AsyncClient, tokens: Tokens, tenant: Tenant, create_token: CreateToken
) -> None:
    token = create_token(tokens, tenant)
    response = await api_client.get(EXPORTS, headers={"Authorization": f"Bearer {token}"})
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert token not in response.text


async def test_basic_authentication_is_rejected(api_client: httpx.AsyncClient) -> None:
    assert_problem(await api_client.get(EXPORTS, auth=("coordinator@nhf.example", "x")), 401)


async def test_auditor_with_an_admin_token_has_auditor_permissions(
    export_client: ExportClient, tenant: Tenant, bearer: Bearer
) -> None:
    export_client.headers = bearer(tenant.users[Role.AUDITOR], role="admin")
    assert_problem(await export_client.request_export(), 403, "permission_denied")


async def test_coordinator_with_an_auditor_token_has_coordinator_permissions(
    export_client: ExportClient, tenant: Tenant, bearer: Bearer
) -> None:
    export_client.headers = bearer(tenant.coordinator, role="auditor")
    assert (await export_client.request_export()).status_code == 202


async def test_coordinator_with_an_operator_token_is_no_operator(
    api_client: httpx.AsyncClient, tokens: Tokens, tenant: Tenant
) -> None:
    response = await api_client.get(EXPORTS, headers=tokens.create_headers(tenant.coordinator, None, "operator"))
    assert_problem(response, 403, "permission_denied")


async def test_token_for_another_organisation_grants_no_access_there(
    export_client: ExportClient, api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    export_id = await ExportClient(api_client, tenant.org_id, export_client.headers).start_export()
    assert (await api_client.get(f"{EXPORTS}/{export_id}", headers=export_client.headers)).status_code == 200
    export_client.headers = bearer(tenant.coordinator, "nhf")
    assert_problem(await export_client.request_export(org_id="nhf"), 403, "permission_denied")


async def test_user_without_a_membership_cannot_start_an_export(
    export_client: ExportClient, tenant: Tenant, owner_connection: psycopg.Connection
) -> None:
    owner_connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    assert_problem(await export_client.request_export(), 403, "permission_denied")


async def test_development_issuer_supports_openid_discovery(tokens: Tokens) -> None:
    issuer = tokens.claims["iss"]
    async with httpx.AsyncClient() as client:
        configuration = (await client.get(f"{issuer}/.well-known/openid-configuration")).raise_for_status().json()
        jwks = (await client.get(configuration["jwks_uri"])).raise_for_status().json()
        assert (await client.get(f"{issuer}/elsewhere")).status_code == 404
    assert configuration["issuer"] == issuer
    assert [key["kid"] for key in jwks["keys"]] == ["development"]
    assert "d" not in jwks["keys"][0]
