"""A worker is killed with SIGKILL at every critical point of an export, and another worker completes the export."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from stafett.devstack.stack import RunningServers
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.exports.retention import Retention
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient
from tests.chaos.crashing_worker import AFTER_FIRST_PART, CRASH_POINTS
from tests.chaos.finished_exports import fetch_transitions, list_object_names, summarise_content
from tests.chaos.worker_crashes import run_until_crash
from tests.support.fixture_types import RunWorker
from tests.support.retention import backdate_completion, open_retention

KILLED = -9
pytestmark = pytest.mark.usefixtures("short_heartbeat_timeout")
EXPORT_FIELDS = {"export_format": "xlsx", "include_attachments": True}
ALWAYS_TESTED = {
    (ExportStatus.MAPPING_COLUMNS, "committed"),
    (ExportStatus.RECORDING_AUDIT, "uncommitted"),
}
CASES = [
    pytest.param(stage, point, marks=[] if (stage, point) in ALWAYS_TESTED else pytest.mark.soak)
    for stage in EXPORT_STAGES
    for point in CRASH_POINTS
]


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with open_retention(settings, org_id) as retention:
        yield retention


@pytest.mark.parametrize(("stage", "point"), CASES)
async def test_export_completes_after_a_worker_crash(
    stage: ExportStatus,
    point: str,
    *,
    stack: RunningServers,
    settings: Settings,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    retention: Retention,
    owner_url: str,
) -> None:
    activity_factory.create_attachment(storage, activity_factory.create_activity(activity_factory.create_mentor()))
    undisturbed_id = await export_client.start_export(**EXPORT_FIELDS)
    async with run_worker():
        expected = await export_client.wait_for_completion(undisturbed_id)
    export_id = await export_client.start_export(**EXPORT_FIELDS)
    assert await run_until_crash("crashing_worker", stack, settings, stage, point) == KILLED
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)
    assert job["status"] == "completed", job["error"]
    assert summarise_content(job) == summarise_content(expected)
    transitions = fetch_transitions(owner_url, export_id)
    assert transitions == fetch_transitions(owner_url, undisturbed_id) == ["initialised", *EXPORT_STAGES, "completed"]
    for finished_id in (undisturbed_id, export_id):
        backdate_completion(owner_url, finished_id, timedelta(hours=1))
    assert retention.apply().staging_cleared == 2
    undisturbed_names, names = (
        list_object_names(storage, export_client.org_id, finished_id) for finished_id in (undisturbed_id, export_id)
    )
    assert names == undisturbed_names


async def test_mapping_after_a_worker_crash_continues_with_the_second_part(
    stack: RunningServers,
    settings: Settings,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    owner_url: str,
) -> None:
    for day in range(5, 8):
        activity_factory.create_activity(
            activity_factory.create_mentor(), starts_at=datetime(2026, 1, day, 9, tzinfo=UTC)
        )
    undisturbed_id = await export_client.start_export()
    async with run_worker():
        expected = await export_client.wait_for_completion(undisturbed_id)
    export_id = await export_client.start_export()
    mapping = ExportStatus.MAPPING_COLUMNS
    assert await run_until_crash("crashing_worker", stack, settings, mapping, AFTER_FIRST_PART) == KILLED
    ((first_part,),) = fetch_rows(
        owner_url, "SELECT parts->'written'->0 FROM export_mapped_parts WHERE export_id = %s", export_id
    )
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["file"]) == ("completed", expected["file"])
    query = "SELECT outputs->'parts' FROM export_stage_outputs WHERE stage = 'mapping_columns' AND export_id = %s"
    ((mapped_parts,),) = fetch_rows(owner_url, query, export_id)
    assert len(mapped_parts) == 3
    assert mapped_parts[0] == first_part


def fetch_rows(owner_url: str, query: LiteralString, export_id: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query, [export_id]).fetchall()
