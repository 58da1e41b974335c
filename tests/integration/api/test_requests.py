"""Responses of the complete API to unusual requests."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app
from api.readiness import Probe
from stafett.devstack.issuer import DevIssuer
from stafett.settings import Settings
from stafett.testing import ExportClient, Tenant

_EXPORTS = "/api/v1/bufdir-exports"
_NESTED_JSON = base64.urlsafe_b64encode(b"[" * 40_000).decode()


@pytest_asyncio.fixture(loop_scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
def token(issuer: DevIssuer, tenant: Tenant) -> str:
    return issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "{token}",
        "Basic {token}",
        "Bearer {token} {token}",
        "Bearer a b",
        "Bearer, {token}",
        "Bearer \xe5",
        f"Bearer {_NESTED_JSON}.e30.e30",
    ],
)
async def test_invalid_authorization_header_is_answered_401_with_challenge(
    api_client: httpx.AsyncClient, token: str, header: str
) -> None:
    encoded_header = header.format(token=token).encode("latin-1")
    response = await api_client.get(_EXPORTS, headers=[(b"Authorization", encoded_header)])
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_missing_and_other_credentials_are_named(api_client: httpx.AsyncClient, token: str) -> None:
    missing = await api_client.get(_EXPORTS)
    assert "no Authorization header" in missing.json()["detail"]
    other = await api_client.get(_EXPORTS, headers={"Authorization": f"Basic {token}"})
    assert "is not 'Bearer'" in other.json()["detail"]
    malformed = await api_client.get(_EXPORTS, headers={"Authorization": "Bearer secret-value"})
    assert "neither a JSON Web Token nor an API key" in malformed.json()["detail"]
    assert "secret-value" not in malformed.text


@pytest.mark.parametrize("header", ["Bearer {token}", "bearer {token}", "BEARER {token}", "Bearer  {token}"])
async def test_bearer_scheme_is_parsed_as_rfc_9110_requires(
    api_client: httpx.AsyncClient, token: str, header: str
) -> None:
    """The scheme is case-insensitive and followed by one or more spaces (RFC 9110, sections 11.1 and 11.4)."""
    assert (await api_client.get(_EXPORTS, headers={"Authorization": header.format(token=token)})).status_code == 200


@pytest.mark.parametrize("page_token", ["[" * 400, _NESTED_JSON[:4000], "x", "null", "\x00", "ø"])
async def test_forged_page_token_error_points_to_the_parameter(
    api_client: httpx.AsyncClient, export_client: ExportClient, page_token: str
) -> None:
    response = await api_client.get(_EXPORTS, params={"page_token": page_token}, headers=export_client.headers)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["query:page_token"]


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00+23:59"]
)
@pytest.mark.parametrize("field", ["created_after", "created_before"])
async def test_extreme_times_cause_no_server_error(
    api_client: httpx.AsyncClient, export_client: ExportClient, field: str, time: str
) -> None:
    response = await api_client.get(_EXPORTS, params={field: time}, headers=export_client.headers)
    assert response.status_code in {200, 422}


async def test_hanging_server_is_checked_once_by_concurrent_polls(app: FastAPI, api_client: httpx.AsyncClient) -> None:
    check_count = 0

    async def hang() -> None:
        nonlocal check_count
        check_count += 1
        await asyncio.Event().wait()

    services = app.state.services
    hanging_probe = Probe(hang, timedelta(milliseconds=10))
    app.state.services = replace(services, probes=replace(services.probes, database=hanging_probe))
    responses = await asyncio.gather(*(api_client.get("/readyz") for _ in range(50)))
    assert {response.status_code for response in responses} == {503}
    assert responses[0].json() == {"database": "away", "temporal": "ok", "s3": "ok"}
    assert check_count == 1
