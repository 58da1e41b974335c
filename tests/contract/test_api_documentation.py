"""Runs the example program of docs/api.md."""

import asyncio
import re
from pathlib import Path
from typing import Any

from api.app import create_app
from stafett.devstack.issuer import DevIssuer
from stafett.settings import Settings
from stafett.testing import ActivityFactory, Tenant
from tests.support.fixture_types import RunWorker
from tests.support.http_server import serve_app


async def test_example_program_of_the_api_guide_creates_an_export(
    settings: Settings,
    run_worker: RunWorker,
    issuer: DevIssuer,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    project: Path,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    (program,) = re.findall(r"```python\n(.*?)```", (project / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    async with run_worker(), serve_app(create_app(settings)) as url:
        namespace: dict[str, Any] = {
            "url": url,
            "token": issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator"),
        }
        await asyncio.to_thread(exec, program, namespace)
        namespace["api"].close()
    assert (namespace["job"]["status"], namespace["response"].status_code) == ("completed", 200)
    assert len(namespace["content"]) == namespace["job"]["file"]["size_bytes"]
