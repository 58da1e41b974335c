"""`stafett dev --encrypt`: what Temporal keeps is sealed, and Temporal's own command line reads it for an operator."""

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
from tests.acceptance.dev_stack import EXPORTS, DevStack, Finished, Tokens, a_stack_that_ends_well

ASKED = {
    "org_id": "nhf",
    "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
    "export_format": "csv",
    "include_attachments": True,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    async with a_stack_that_ends_well(tmp_path_factory.mktemp("encrypted") / "data", "--encrypt") as stack:
        yield stack


def user(dev: DevStack, email: str) -> str:
    with psycopg.connect(dev.database_url) as connection:
        row = connection.execute("SELECT id::text FROM users WHERE email = %s", [email]).fetchone()
    assert row is not None
    return str(row[0])


async def export(dev: DevStack, tokens: Tokens) -> str:
    """The id of one that was exported; the rows are there from whichever test comes first."""
    (await dev.run("seed", "--org", "nhf", "--activities", 5, "--year", 2026)).done()
    coordinator = tokens.bearer(user(dev, "coordinator@nhf.example"), "nhf", "coordinator")
    async with dev.gateway() as gateway:
        started = await gateway.post(EXPORTS, json=ASKED, headers=coordinator)
        place = f"{EXPORTS}/{started.raise_for_status().json()['id']}"

        async def look() -> Json:
            job: Json = (await gateway.get(place, headers=coordinator)).raise_for_status().json()
            return job

        job = await wait_until(look, lambda job: job["completed_at"] is not None)
    assert job["status"] == "completed", job["error"]
    return str(job["id"])


async def temporal_show(dev: DevStack, export_id: str, *more: str) -> Finished:
    program = shutil.which("temporal", path=str(Path(sys.executable).parent))
    assert program is not None
    asked = ("workflow", "show", "--workflow-id", f"bufdir-export/{export_id}", "--output", "json")
    process = await asyncio.create_subprocess_exec(
        *(program, *asked, "--address", dev.facts["temporal_address"], *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Finished(process.returncode or 0, out.decode(), err.decode())


def given_to(shown: Finished) -> tuple[str, bytes]:
    """How the run's argument is written, and what it says."""
    (payload,) = shown.json["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
    return base64.b64decode(payload["metadata"]["encoding"]).decode(), base64.b64decode(payload["data"])


async def test_an_operator_reads_what_temporal_keeps_sealed_and_nobody_else_does(dev: DevStack) -> None:
    tokens = await Tokens.of(dev)
    export_id = await export(dev, tokens)

    sealed = (await temporal_show(dev, export_id)).done()
    assert given_to(sealed)[0] == "binary/encrypted"
    assert export_id.encode() not in given_to(sealed)[1]

    codec = ("--codec-endpoint", f"{dev.facts['api_url']}/api/v1/codec", "--codec-auth")
    operator = tokens.token(user(dev, "operator@stafett.example"), None, "operator")
    encoding, data = given_to((await temporal_show(dev, export_id, *codec, f"Bearer {operator}")).done())
    assert encoding == "json/plain"
    assert json.loads(data)["export_id"] == export_id

    admin = tokens.token(user(dev, "admin@nhf.example"), "nhf", "admin")
    refused = await temporal_show(dev, export_id, *codec, f"Bearer {admin}")
    assert refused.code != 0
    assert refused.out == ""


async def test_the_web_ui_is_told_where_to_ask_and_may(dev: DevStack) -> None:
    origin = dev.facts["temporal_ui_url"]
    async with httpx.AsyncClient() as anybody:
        settings = (await anybody.get(f"{origin}/api/v1/settings")).json()
        endpoint = settings["Codec"]["Endpoint"]
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = await anybody.options(f"{endpoint}/decode", headers=preflight)
    assert endpoint == f"{dev.facts['api_url']}/api/v1/codec"
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, origin)


async def test_a_folder_that_was_sealed_stays_so(dev: DevStack) -> None:
    """Started again without the option, it goes on with the same keys."""
    before = (dev.data_dir / "codec-keys").read_text()
    assert (dev.data_dir / "codec-keys").stat().st_mode & 0o077 == 0
    await dev.end()
    dev.options = ()
    await dev.start()
    assert (dev.data_dir / "codec-keys").read_text() == before
    export_id = await export(dev, await Tokens.of(dev))
    client = await Client.connect(dev.facts["temporal_address"])
    history = await client.get_workflow_handle(f"bufdir-export/{export_id}").fetch_history()
    payload = history.events[0].workflow_execution_started_event_attributes.input.payloads[0]
    assert payload.metadata["encryption-key-id"] == b"development"
