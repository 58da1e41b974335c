"""The program on the page for client authors is run as it stands there."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from api.app import create_app
from stafett.devstack.issuer import DevIssuer
from stafett.settings import Settings
from stafett.testing import ActivityFactory, Tenant
from tests.gateway.serving import served

Working = Callable[[], AbstractAsyncContextManager[None]]


async def test_the_program_on_the_page_has_an_export_made(
    settings: Settings, working: Working, issuer: DevIssuer, tenant: Tenant, diary: ActivityFactory, project: Path
) -> None:
    diary.create_activity(diary.create_mentor())
    (program,) = re.findall(r"```python\n(.*?)```", (project / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    async with working(), served(create_app(settings)) as url:
        known: dict[str, Any] = {
            "url": url,
            "token": issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator"),
        }
        await asyncio.to_thread(exec, program, known)
        known["api"].close()
    assert (known["job"]["status"], known["answer"].status_code) == ("completed", 200)
    assert len(known["content"]) == known["job"]["file"]["size_bytes"]
