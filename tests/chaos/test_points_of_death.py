"""A worker is killed with SIGKILL at every point where it could matter; another one goes on as if nothing had been."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from stafett.devstack.stack import RunningServers
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.exports.retention import Retention
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json
from tests.chaos.dying_worker import BETWEEN_PARTS, POINTS
from tests.retention import ended_ago, retention_of

Working = Callable[[], AbstractAsyncContextManager[None]]
KILLED = -9
ASKED = {"export_format": "xlsx", "include_attachments": True}
QUICK = {
    (ExportStatus.QUERYING_ACTIVITIES, "done"),
    (ExportStatus.MAPPING_COLUMNS, "committed"),
    (ExportStatus.BUNDLING_ATTACHMENTS, "done"),
    (ExportStatus.RECORDING_AUDIT, "done"),
}
EVERY = [
    pytest.param(stage, point, marks=[] if (stage, point) in QUICK else pytest.mark.soak)
    for stage in EXPORT_STAGES
    for point in POINTS
]


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with retention_of(settings, org_id) as retention:
        yield retention


async def dies(stack: RunningServers, settings: Settings, stage: ExportStatus, point: str, project: Path) -> int:
    command = ("-m", "tests.chaos.dying_worker", settings.temporal.task_queue, stage, point)
    environment = os.environ | stack.addresses.environment()
    child = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment, cwd=project)
    async with asyncio.timeout(60):
        return await child.wait()


@pytest.mark.parametrize(("stage", "point"), EVERY)
async def test_an_export_outlives_its_worker(
    stage: ExportStatus,
    point: str,
    *,
    stack: RunningServers,
    settings: Settings,
    project: Path,
    button: ExportClient,
    diary: ActivityFactory,
    storage: FileStorage,
    working: Working,
    retention: Retention,
    owner_url: str,
) -> None:
    diary.create_attachment(storage, diary.create_activity(diary.create_mentor()))
    undisturbed = await button.start_export(**ASKED)
    async with working():
        expected = await button.wait_for_completion(undisturbed)
    export_id = await button.start_export(**ASKED)
    assert await dies(stack, settings, stage, point, project) == KILLED
    async with working():
        job = await button.wait_for_completion(export_id)
    assert job["status"] == "completed", job["error"]
    assert content_of(job) == content_of(expected)
    transitions = transitions_of(owner_url, export_id)
    assert transitions == transitions_of(owner_url, undisturbed) == ["initialised", *EXPORT_STAGES, "completed"]
    for one in (undisturbed, export_id):
        ended_ago(owner_url, one, timedelta(hours=1))
    assert retention.apply().staging_cleared == 2
    kept = [kept_below(storage, button.org_id, one) for one in (undisturbed, export_id)]
    assert kept[0] == kept[1]


async def test_a_worker_that_dies_between_two_parts_is_followed_by_one_that_maps_the_others(
    stack: RunningServers,
    settings: Settings,
    project: Path,
    button: ExportClient,
    diary: ActivityFactory,
    working: Working,
    owner_url: str,
) -> None:
    for day in range(5, 8):
        diary.create_activity(diary.create_mentor(), starts_at=datetime(2026, 1, day, 9, tzinfo=UTC))
    undisturbed = await button.start_export()
    async with working():
        expected = await button.wait_for_completion(undisturbed)
    export_id = await button.start_export()
    assert await dies(stack, settings, ExportStatus.MAPPING_COLUMNS, BETWEEN_PARTS, project) == KILLED
    ((kept,),) = rows_of(
        owner_url, "SELECT objects->'written' FROM export_mapped_parts WHERE export_id = %s", export_id
    )
    async with working():
        job = await button.wait_for_completion(export_id)
    assert (job["status"], job["file"]) == ("completed", expected["file"])
    query = "SELECT outputs->'parts' FROM export_stage_outputs WHERE stage = 'mapping_columns' AND export_id = %s"
    ((mapped,),) = rows_of(owner_url, query, export_id)
    assert len(mapped) == 3
    assert mapped[0] == kept


def rows_of(owner_url: str, query: LiteralString, export_id: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query, [export_id]).fetchall()


def content_of(job: Json) -> tuple[str, int, int]:
    """The bundle's manifest names its export: the report in it is the same."""
    return job["file"]["content_sha256"], job["row_count"], job["partial_failure_count"]


def transitions_of(owner_url: str, export_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT status FROM audit_events WHERE subject_id = %s AND status IS NOT NULL ORDER BY seq"
        return [status for (status,) in connection.execute(query, [export_id]).fetchall()]


def kept_below(storage: FileStorage, org_id: str, export_id: str) -> list[str]:
    return sorted(key.rpartition("/")[2] for key in storage.list_keys(f"exports/{org_id}/{export_id}/"))
