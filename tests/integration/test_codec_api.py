"""Payloads opened for operators, and for the Web UI's page alone."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from pydantic import AnyHttpUrl, SecretStr
from temporalio.api.common.v1 import Payload

from api.app import create_app
from stafett.domain.membership import Role
from stafett.seed.organisations import dev_user_id
from stafett.settings import Settings
from stafett.temporal.codec import codec_from_settings
from stafett.testing import Tenant

Bearer = Callable[..., dict[str, str]]
DECODE, ENCODE = "/api/v1/codec/decode", "/api/v1/codec/encode"
UI = "https://temporal.example.org"
ASKED_BY_THE_UI = {
    "Origin": UI,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,authorization-extras,content-type,x-namespace",
}
JOB = Payload(metadata={"encoding": b"json/plain"}, data=b'{"org_id":"hemmelig"}')


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a key, and with a Web UI."""
    key = SecretStr(f"2027:{base64.b64encode(bytes(32)).decode()}")
    return settings.model_copy(
        update={
            "temporal": settings.temporal.model_copy(update={"codec_keys": key}),
            "api": settings.api.model_copy(update={"web_ui_origin": AnyHttpUrl(UI)}),
        }
    )


@pytest.fixture
def operator(bearer: Bearer) -> dict[str, str]:
    return bearer(dev_user_id("operator@stafett.example"), None, "operator")


@asynccontextmanager
async def gateway_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


def written(*payloads: Payload) -> dict[str, list[dict[str, Any]]]:
    return {"payloads": [MessageToDict(payload) for payload in payloads]}


async def sealed(settings: Settings) -> Payload:
    (payload,) = await codec_from_settings(settings.temporal).encode([JOB])
    return payload


async def test_an_operator_reads_what_is_sealed_and_what_is_not(
    gateway: httpx.AsyncClient, settings: Settings, operator: dict[str, str]
) -> None:
    asked = written(await sealed(settings), JOB)
    answer = await gateway.post(f"{DECODE}?preserveStorageRefs=true", json=asked, headers=operator)
    assert (answer.status_code, answer.json()) == (200, written(JOB, JOB))
    assert answer.headers["Cache-Control"] == "no-store"


async def test_what_an_operator_sends_is_sealed(gateway: httpx.AsyncClient, operator: dict[str, str]) -> None:
    answer = await gateway.post(ENCODE, json=written(JOB), headers=operator)
    assert base64.b64encode(JOB.data).decode() not in answer.text
    assert (await gateway.post(DECODE, json=answer.json(), headers=operator)).json() == written(JOB)


@pytest.mark.parametrize("path", [DECODE, ENCODE])
async def test_nobody_else_is_told_anything(
    gateway: httpx.AsyncClient, settings: Settings, tenant: Tenant, bearer: Bearer, path: str
) -> None:
    asked = written(await sealed(settings))
    nobody = await gateway.post(path, json=asked)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    for role in (Role.COORDINATOR, Role.ADMIN, Role.AUDITOR):
        somebody = bearer(tenant.users[role], role="operator")
        refused = await gateway.post(path, json=asked, headers=somebody)
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"hemmelig",
        b'{"payloads": {"hemmelig": 1}}',
        b'{"payloads": ["hemmelig"]}',
        b'{"payloads": [null]}',
        b'{"payloads": [{"data": "a"}]}',
        b'{"payloads": [{"metadata": ["hemmelig"]}]}',
        b'{"payloads": [{"metadata": {"hemmelig": 1}}]}',
        b'{"payloads": [' + b"{}," * 1000 + b"{}]}",
        b'{"payloads": ' + b"[" * 100_000,
        b'{"payloads": [{"metadata": {"\\ud800": ""}}]}',
        b'{"payloads": [{"metadata": {"encoding": "YmluYXJ5L2VuY3J5cHRlZA=="}, "data": "aGVtbWVsaWc="}]}',
    ],
)
async def test_what_is_no_payload_or_cannot_be_opened_is_refused_and_not_repeated(
    gateway: httpx.AsyncClient, operator: dict[str, str], body: bytes
) -> None:
    answer = await gateway.post(DECODE, content=body, headers=operator | {"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_payloads")
    assert "hemmelig" not in answer.text
    assert "aGVtbWVsaWc=" not in answer.text


async def test_bodies_have_a_kind_and_a_limit(gateway: httpx.AsyncClient, operator: dict[str, str]) -> None:
    assert (await gateway.post(DECODE, content=b"{}", headers=operator)).status_code == 415
    large = {"payloads": [{"data": "A" * 4 * 1024 * 1024}]}
    assert (await gateway.post(DECODE, json=large, headers=operator)).status_code == 413


async def test_without_keys_payloads_are_given_back_as_they_are(
    settings: Settings, tenant: Tenant, bearer: Bearer, operator: dict[str, str]
) -> None:
    bare = settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"codec_keys": None})})
    async with gateway_of(bare) as gateway:
        for path in (DECODE, ENCODE):
            assert (await gateway.post(path, json=written(JOB), headers=operator)).json() == written(JOB)
        answer = await gateway.post(DECODE, json=written(await sealed(settings)), headers=operator)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_payloads")
        refused = await gateway.post(DECODE, json=written(JOB), headers=bearer(tenant.coordinator))
        assert refused.status_code == 403


async def test_the_web_uis_page_may_ask_and_read_the_answer_a_refusal_too(gateway: httpx.AsyncClient) -> None:
    preflight = await gateway.options(DECODE, headers=ASKED_BY_THE_UI)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == UI
    allowed = {name.strip().lower() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"content-type", "x-namespace", "authorization"} <= allowed
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    refused = await gateway.post(DECODE, json=written(JOB), headers={"Origin": UI})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, UI)


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        (DECODE, "https://elsewhere.example"),
        (DECODE, f"{UI}.elsewhere.example"),
        (DECODE, "null"),
        ("/api/v1/bufdir-exports", UI),
        ("/readyz", UI),
    ],
)
async def test_no_other_page_and_no_other_path_is_opened(gateway: httpx.AsyncClient, path: str, origin: str) -> None:
    asked = ASKED_BY_THE_UI | {"Origin": origin}
    answers = await asyncio.gather(gateway.options(path, headers=asked), gateway.post(path, headers={"Origin": origin}))
    assert [name for answer in answers for name in answer.headers if name.startswith("access-control")] == []
    assert answers[0].status_code == 405


async def test_without_a_web_ui_no_page_may_ask(settings: Settings) -> None:
    closed = settings.model_copy(update={"api": settings.api.model_copy(update={"web_ui_origin": None})})
    async with gateway_of(closed) as gateway:
        answer = await gateway.options(DECODE, headers=ASKED_BY_THE_UI)
    assert (answer.status_code, "Access-Control-Allow-Origin" in answer.headers) == (405, False)
