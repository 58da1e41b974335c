"""What a whole gateway says to odd requests."""

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
_NESTED = base64.urlsafe_b64encode(b"[" * 40_000).decode()


@pytest_asyncio.fixture(loop_scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
def token(issuer: DevIssuer, tenant: Tenant) -> str:
    return issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")


@pytest.mark.parametrize(
    "written",
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
        f"Bearer {_NESTED}.e30.e30",
    ],
)
async def test_what_is_no_bearer_token_is_401_and_says_what_is_wanted(
    gateway: httpx.AsyncClient, token: str, written: str
) -> None:
    said = written.format(token=token).encode("latin-1")
    answer = await gateway.get(_EXPORTS, headers=[(b"Authorization", said)])
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("written", ["Bearer {token}", "bearer {token}", "BEARER {token}", "Bearer  {token}"])
async def test_the_scheme_is_read_as_http_has_it(gateway: httpx.AsyncClient, token: str, written: str) -> None:
    """In any case, with one space or more after it: RFC 9110, sections 11.1 and 11.4."""
    assert (await gateway.get(_EXPORTS, headers={"Authorization": written.format(token=token)})).status_code == 200


@pytest.mark.parametrize("page_token", ["[" * 400, _NESTED[:4000], "x", "null", "\x00", "ø"])
async def test_a_page_token_that_no_list_gave_is_refused_and_pointed_at(
    gateway: httpx.AsyncClient, button: ExportClient, page_token: str
) -> None:
    answer = await gateway.get(_EXPORTS, params={"page_token": page_token}, headers=button.headers)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["query:page_token"]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00+23:59"]
)
@pytest.mark.parametrize("field", ["created_after", "created_before"])
async def test_the_ends_of_time_are_times(
    gateway: httpx.AsyncClient, button: ExportClient, field: str, moment: str
) -> None:
    answer = await gateway.get(_EXPORTS, params={field: moment}, headers=button.headers)
    assert answer.status_code in {200, 422}


async def test_a_server_that_hangs_is_asked_once_however_often_readiness_is_polled(
    app: FastAPI, gateway: httpx.AsyncClient
) -> None:
    asked = 0

    async def hangs() -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    services = app.state.services
    hanging = Probe(hangs, timedelta(milliseconds=10))
    app.state.services = replace(services, probes=replace(services.probes, s3=hanging))
    answers = await asyncio.gather(*(gateway.get("/readyz") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json() == {"database": "ok", "temporal": "ok", "s3": "away"}
    assert asked == 1
