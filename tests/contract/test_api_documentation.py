"""Runs the example programs of docs/api.md, and the commands of README.md for the API."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from stafett.devstack.issuer import DevIssuer
from stafett.settings import Settings
from stafett.testing import ActivityFactory, Tenant
from stafett.webhooks.signing import build_signature_header, generate_secret
from tests.support.fixture_types import RunWorker
from tests.support.http_server import serve_app


def read_programs(project: Path) -> tuple[str, str]:
    """Read the program that runs an export, and the one that verifies a webhook's message."""
    export, webhook = re.findall(r"```python\n(.*?)```", (project / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    return export, webhook


@pytest.mark.parametrize(("tampered", "answer"), [(b"", 204), (b" ", 401)])
def test_webhook_program_of_the_api_guide_accepts_only_signed_messages(
    project: Path, tampered: bytes, answer: int
) -> None:
    _, program = read_programs(project)
    secret, body, now = generate_secret(), b'{"type":"webhook.test"}', int(time.time())
    headers = {
        "Webhook-Id": "m-1",
        "Webhook-Timestamp": str(now),
        "Webhook-Signature": build_signature_header([generate_secret(), secret], "m-1", now, body),
    }
    namespace: dict[str, Any] = {"secret": secret, "headers": headers, "body": body + tampered}
    exec(program, namespace)  # noqa: S102 - the documentation's own program
    assert namespace["answer"] == answer


async def test_example_program_of_the_api_guide_creates_an_export(
    settings: Settings,
    run_worker: RunWorker,
    issuer: DevIssuer,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    project: Path,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    program, _ = read_programs(project)
    async with run_worker(), serve_app(create_app(settings)) as url:
        namespace: dict[str, Any] = {
            "url": url,
            "token": issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator"),
        }
        await asyncio.to_thread(exec, program, namespace)
        namespace["api"].close()
    assert (namespace["job"]["status"], namespace["response"].status_code) == ("completed", 200)
    assert len(namespace["content"]) == namespace["job"]["file"]["size_bytes"]


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("jq") is None, reason="the commands use curl and jq")
@pytest.mark.parametrize("wait", ["wait=30", "wait=0"])
async def test_commands_of_the_readme_work_one_after_the_other(
    settings: Settings,
    run_worker: RunWorker,
    issuer: DevIssuer,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    project: Path,
    tmp_path: Path,
    wait: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    block = re.search(r"^    HOST=.*\n(?:    .*\n)+", (project / "README.md").read_text("utf-8"), re.MULTILINE)
    assert block is not None
    token = issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    async with run_worker(), serve_app(create_app(settings)) as url:
        commands = re.sub(r"^    ", "", block[0], flags=re.MULTILINE)
        commands = commands.replace("http://127.0.0.1:PORT", url).replace("nhf", tenant.org_id)
        commands = commands.replace("wait=30", wait)  # without it, each job is answered with 202
        commands = re.sub(r"^TOKEN=.*$", f"TOKEN={token}", commands, flags=re.MULTILINE).replace("curl -s", "curl -sSf")
        arguments = ["bash", "-euo", "pipefail", "-c", commands]
        done = await asyncio.to_thread(
            subprocess.run, arguments, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "reexport.json").read_text())["status"] == "completed"
    batch, report = json.loads((tmp_path / "batch.json").read_text()), tmp_path / "report.csv"
    assert (batch["counts"]["registered"], batch["counts"]["failed"]) == (1, 1)
    assert ";mentor_not_found;" in (tmp_path / "failed.csv").read_text("utf-8-sig")
    assert len(report.read_bytes()) == json.loads((tmp_path / "export.json").read_text())["file"]["size_bytes"]
    assert '"submitted_reference":"Bufdir 26/1234"' in done.stdout
