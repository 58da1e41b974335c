"""The payload codec: only operators may use it, and only Temporal's Web UI from another origin."""

import asyncio
import base64
from collections.abc import AsyncIterator
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
from tests.support.fixture_types import Bearer

DECODE, ENCODE = "/api/v1/codec/decode", "/api/v1/codec/encode"
UI = "https://temporal.example.org"
PREFLIGHT_HEADERS = {
    "Origin": UI,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,authorization-extras,content-type,x-namespace",
}
JOB = Payload(metadata={"encoding": b"json/plain"}, data=b'{"org_id":"hemmelig"}')


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Configure a payload key and the origin of Temporal's Web UI."""
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
async def open_api_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


def to_body(*payloads: Payload) -> dict[str, list[dict[str, Any]]]:
    return {"payloads": [MessageToDict(payload) for payload in payloads]}


async def encrypt_job(settings: Settings) -> Payload:
    (payload,) = await codec_from_settings(settings.temporal).encode([JOB])
    return payload


async def test_operator_decodes_encrypted_and_plain_payloads(
    api_client: httpx.AsyncClient, settings: Settings, operator: dict[str, str]
) -> None:
    body = to_body(await encrypt_job(settings), JOB)
    response = await api_client.post(f"{DECODE}?preserveStorageRefs=true", json=body, headers=operator)
    assert (response.status_code, response.json()) == (200, to_body(JOB, JOB))
    assert response.headers["Cache-Control"] == "no-store"


async def test_operator_encodes_payloads_encrypted(api_client: httpx.AsyncClient, operator: dict[str, str]) -> None:
    response = await api_client.post(ENCODE, json=to_body(JOB), headers=operator)
    assert base64.b64encode(JOB.data).decode() not in response.text
    assert (await api_client.post(DECODE, json=response.json(), headers=operator)).json() == to_body(JOB)


@pytest.mark.parametrize("path", [DECODE, ENCODE])
async def test_other_callers_are_rejected(
    api_client: httpx.AsyncClient, settings: Settings, tenant: Tenant, bearer: Bearer, path: str
) -> None:
    body = to_body(await encrypt_job(settings))
    anonymous = await api_client.post(path, json=body)
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "unauthenticated")
    for role in (Role.COORDINATOR, Role.ADMIN, Role.AUDITOR):
        member = bearer(tenant.users[role], role="operator")
        response = await api_client.post(path, json=body, headers=member)
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


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
async def test_invalid_or_undecryptable_payload_is_rejected_and_not_quoted(
    api_client: httpx.AsyncClient, operator: dict[str, str], body: bytes
) -> None:
    response = await api_client.post(DECODE, content=body, headers=operator | {"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_payloads")
    assert "hemmelig" not in response.text
    assert "aGVtbWVsaWc=" not in response.text


async def test_unsupported_media_type_and_oversized_body_are_rejected(
    api_client: httpx.AsyncClient, operator: dict[str, str]
) -> None:
    assert (await api_client.post(DECODE, content=b"{}", headers=operator)).status_code == 415
    large = {"payloads": [{"data": "A" * 4 * 1024 * 1024}]}
    assert (await api_client.post(DECODE, json=large, headers=operator)).status_code == 413


async def test_payloads_are_returned_unchanged_without_keys(
    settings: Settings, tenant: Tenant, bearer: Bearer, operator: dict[str, str]
) -> None:
    settings_without_keys = settings.model_copy(
        update={"temporal": settings.temporal.model_copy(update={"codec_keys": None})}
    )
    async with open_api_client(settings_without_keys) as api_client:
        for path in (DECODE, ENCODE):
            assert (await api_client.post(path, json=to_body(JOB), headers=operator)).json() == to_body(JOB)
        response = await api_client.post(DECODE, json=to_body(await encrypt_job(settings)), headers=operator)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_payloads")
        response = await api_client.post(DECODE, json=to_body(JOB), headers=bearer(tenant.coordinator))
        assert response.status_code == 403


async def test_web_ui_may_send_requests_and_read_responses_and_errors(api_client: httpx.AsyncClient) -> None:
    preflight = await api_client.options(DECODE, headers=PREFLIGHT_HEADERS)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == UI
    allowed = {name.strip().lower() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"content-type", "x-namespace", "authorization"} <= allowed
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    response = await api_client.post(DECODE, json=to_body(JOB), headers={"Origin": UI})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (401, UI)


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
async def test_other_origins_and_paths_get_no_cors_headers(
    api_client: httpx.AsyncClient, path: str, origin: str
) -> None:
    headers = PREFLIGHT_HEADERS | {"Origin": origin}
    responses = await asyncio.gather(
        api_client.options(path, headers=headers), api_client.post(path, headers={"Origin": origin})
    )
    assert [name for response in responses for name in response.headers if name.startswith("access-control")] == []
    assert responses[0].status_code == 405


async def test_no_origin_is_allowed_without_a_web_ui(settings: Settings) -> None:
    settings_without_web_ui = settings.model_copy(
        update={"api": settings.api.model_copy(update={"web_ui_origin": None})}
    )
    async with open_api_client(settings_without_web_ui) as api_client:
        response = await api_client.options(DECODE, headers=PREFLIGHT_HEADERS)
    assert (response.status_code, "Access-Control-Allow-Origin" in response.headers) == (405, False)
