"""A worker is killed at every step of a re-export: exactly one version, exactly one notification, all the same."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from stafett.devstack.stack import RunningServers
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient
from tests.chaos.dying_coordinator import POINTS, STEPS, WITHIN
from tests.reexports import AgainButton, steps_of, told_of

Working = Callable[[], AbstractAsyncContextManager[None]]
KILLED = -9
BETWEEN_GENERATION_AND_STORING, BETWEEN_STORING_AND_NOTIFYING = ("store_result", "before"), ("store_result", "after")
QUICK = {BETWEEN_GENERATION_AND_STORING, BETWEEN_STORING_AND_NOTIFYING}
EVERY = [(step, point) for step in STEPS for point in POINTS] + [(WITHIN, "after")]
MARKED = [pytest.param(*one, marks=[] if one in QUICK else pytest.mark.soak) for one in EVERY]


async def dies(stack: RunningServers, settings: Settings, step: str, point: str, project: Path) -> int:
    command = ("-m", "tests.chaos.dying_coordinator", settings.temporal.task_queue, step, point)
    environment = os.environ | stack.addresses.environment()
    child = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment, cwd=project)
    async with asyncio.timeout(60):
        return await child.wait()


@pytest.mark.parametrize(("step", "point"), MARKED)
async def test_a_re_export_outlives_its_worker(
    step: str,
    point: str,
    *,
    stack: RunningServers,
    settings: Settings,
    project: Path,
    button: ExportClient,
    diary: ActivityFactory,
    storage: FileStorage,
    working: Working,
    owner_url: str,
) -> None:
    diary.create_activity(diary.create_mentor())
    again = AgainButton(button)
    async with working():
        report_id = await again.report(export_format="xlsx")
    (original,) = await again.versions(report_id)
    reexport_id = await again.pressed(report_id, source="same_snapshot")
    assert await dies(stack, settings, step, point, project) == KILLED
    async with working():
        job = await again.end_of(reexport_id)
    assert job["status"] == "completed", job["error"]
    first, second = await again.versions(report_id)
    assert (first, second["file"], second["reexport_id"]) == (original, original["file"], reexport_id)
    assert steps_of(owner_url, reexport_id) == ["pending", "exporting", "storing_result", "notifying", "completed"]
    assert told_of(owner_url, reexport_id) == [("reexport_ended", "completed")]
    exports = await button.http_client.get("/api/v1/bufdir-exports", headers=button.headers)
    assert len(exports.json()["items"]) == 2
    assert storage.list_incomplete_uploads(f"exports/{button.org_id}/") == []
