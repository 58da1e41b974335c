"""`stafett dev --encrypt`: Temporal stores encrypted payloads, which its command line decrypts for operators."""

import asyncio
import base64
import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio
from temporalio.client import Client

from stafett.testing import Json, wait_until
from tests.support.dev_stack import EXPORTS, CommandResult, DevStack, Tokens, run_dev_stack

EXPORT_FIELDS = {
    "org_id": "nhf",
    "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
    "export_format": "csv",
    "include_attachments": True,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    async with run_dev_stack(tmp_path_factory.mktemp("encrypted") / "data", "--encrypt") as stack:
        yield stack


def get_user_id(dev_stack: DevStack, email: str) -> str:
    with psycopg.connect(dev_stack.database_url) as connection:
        row = connection.execute("SELECT id::text FROM users WHERE email = %s", [email]).fetchone()
    assert row is not None
    return str(row[0])


async def run_export(dev_stack: DevStack, tokens: Tokens) -> str:
    """Run an export and return its id; the rows are seeded by the first call only."""
    (await dev_stack.run("seed", "--org", "nhf", "--activities", 5, "--year", 2026)).require_success()
    coordinator = tokens.create_headers(get_user_id(dev_stack, "coordinator@nhf.example"), "nhf", "coordinator")
    async with dev_stack.api_client() as api_client:
        started = await api_client.post(EXPORTS, json=EXPORT_FIELDS, headers=coordinator)
        path = f"{EXPORTS}/{started.raise_for_status().json()['id']}"

        async def get_job() -> Json:
            job: Json = (await api_client.get(path, headers=coordinator)).raise_for_status().json()
            return job

        job = await wait_until(get_job, lambda job: job["completed_at"] is not None)
    assert job["status"] == "completed", job["error"]
    return str(job["id"])


async def run_temporal_show(dev_stack: DevStack, export_id: str, *options: str) -> CommandResult:
    program = shutil.which("temporal", path=str(Path(sys.executable).parent))
    assert program is not None
    args = ("workflow", "show", "--workflow-id", f"bufdir-export/{export_id}", "--output", "json")
    process = await asyncio.create_subprocess_exec(
        *(program, *args, "--address", dev_stack.stack_json["temporal_address"], *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return CommandResult(process.returncode or 0, out.decode(), err.decode())


def decode_argument(shown: CommandResult) -> tuple[str, bytes]:
    """Return encoding and data of the run's argument."""
    (payload,) = shown.json["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
    return base64.b64decode(payload["metadata"]["encoding"]).decode(), base64.b64decode(payload["data"])


async def test_codec_decrypts_payloads_for_operators_only(dev_stack: DevStack) -> None:
    tokens = await Tokens.from_stack(dev_stack)
    export_id = await run_export(dev_stack, tokens)

    encrypted = (await run_temporal_show(dev_stack, export_id)).require_success()
    assert decode_argument(encrypted)[0] == "binary/encrypted"
    assert export_id.encode() not in decode_argument(encrypted)[1]

    codec = ("--codec-endpoint", f"{dev_stack.stack_json['api_url']}/api/v1/codec", "--codec-auth")
    operator = tokens.create_token(get_user_id(dev_stack, "operator@stafett.example"), None, "operator")
    decrypted = await run_temporal_show(dev_stack, export_id, *codec, f"Bearer {operator}")
    encoding, data = decode_argument(decrypted.require_success())
    assert encoding == "json/plain"
    assert json.loads(data)["export_id"] == export_id

    admin = tokens.create_token(get_user_id(dev_stack, "admin@nhf.example"), "nhf", "admin")
    refused = await run_temporal_show(dev_stack, export_id, *codec, f"Bearer {admin}")
    assert refused.exit_code != 0
    assert refused.stdout == ""


async def test_web_ui_is_configured_with_an_allowed_codec_endpoint(dev_stack: DevStack) -> None:
    origin = dev_stack.stack_json["temporal_ui_url"]
    async with httpx.AsyncClient() as anonymous_client:
        settings = (await anonymous_client.get(f"{origin}/api/v1/settings")).json()
        endpoint = settings["Codec"]["Endpoint"]
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        response = await anonymous_client.options(f"{endpoint}/decode", headers=preflight)
    assert endpoint == f"{dev_stack.stack_json['api_url']}/api/v1/codec"
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (200, origin)


async def test_restart_without_the_option_keeps_encrypting(dev_stack: DevStack) -> None:
    keys = (dev_stack.data_dir / "codec-keys").read_text()
    assert (dev_stack.data_dir / "codec-keys").stat().st_mode & 0o077 == 0
    await dev_stack.stop()
    dev_stack.options = ()
    await dev_stack.start()
    assert (dev_stack.data_dir / "codec-keys").read_text() == keys
    export_id = await run_export(dev_stack, await Tokens.from_stack(dev_stack))
    client = await Client.connect(dev_stack.stack_json["temporal_address"])
    history = await client.get_workflow_handle(f"bufdir-export/{export_id}").fetch_history()
    payload = history.events[0].workflow_execution_started_event_attributes.input.payloads[0]
    assert payload.metadata["encryption-key-id"] == b"development"
