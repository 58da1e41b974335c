"""A worker is killed in every step of a re-export; one version and one notification result all the same."""

import pytest

from stafett.devstack.stack import RunningServers
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient
from tests.chaos.crashing_reexport_worker import BEFORE_COMMIT_OF_VERSION, CRASH_POINTS, STEPS
from tests.chaos.worker_crashes import run_until_crash
from tests.support.fixture_types import RunWorker
from tests.support.reexports import ReexportClient, fetch_notifications, fetch_status_history

KILLED = -9
pytestmark = pytest.mark.usefixtures("short_heartbeat_timeout")
BETWEEN_GENERATION_AND_STORING, BETWEEN_STORING_AND_NOTIFYING = ("store_result", "before"), ("store_result", "after")
ALWAYS_TESTED = {BETWEEN_GENERATION_AND_STORING, BETWEEN_STORING_AND_NOTIFYING}
_POINTS = [(step, point) for step in STEPS for point in CRASH_POINTS] + [(BEFORE_COMMIT_OF_VERSION, "after")]
CASES = [pytest.param(*case, marks=[] if case in ALWAYS_TESTED else pytest.mark.soak) for case in _POINTS]


@pytest.mark.parametrize(("step", "point"), CASES)
async def test_reexport_completes_after_a_worker_crash(
    step: str,
    point: str,
    *,
    stack: RunningServers,
    settings: Settings,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    reexport_client = ReexportClient(export_client)
    async with run_worker():
        report_id = await reexport_client.create_report(export_format="xlsx")
    (original,) = await reexport_client.list_versions(report_id)
    reexport_id = await reexport_client.start_reexport(report_id, source="same_snapshot")
    assert await run_until_crash("crashing_reexport_worker", stack, settings, step, point) == KILLED
    async with run_worker():
        job = await reexport_client.wait_for_completion(reexport_id)
    assert job["status"] == "completed", job["error"]
    first, second = await reexport_client.list_versions(report_id)
    assert (first, second["file"], second["reexport_id"]) == (original, original["file"], reexport_id)
    assert fetch_status_history(owner_url, reexport_id) == [
        "pending",
        "exporting",
        "storing_result",
        "notifying",
        "completed",
    ]
    assert fetch_notifications(owner_url, reexport_id) == [("reexport_ended", "completed")]
    exports = await export_client.http_client.get("/api/v1/bufdir-exports", headers=export_client.headers)
    assert len(exports.json()["items"]) == 2
    assert list(storage.iterate_uploads(f"exports/{export_client.org_id}/")) == []


@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_unchanged_reexport_adds_no_version_after_a_worker_crash(
    point: str,
    *,
    stack: RunningServers,
    settings: Settings,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    reexport_client = ReexportClient(export_client)
    async with run_worker():
        report_id = await reexport_client.create_report()
    versions = await reexport_client.list_versions(report_id)
    reexport_id = await reexport_client.start_reexport(report_id)
    assert await run_until_crash("crashing_reexport_worker", stack, settings, "store_result", point) == KILLED
    async with run_worker():
        job = await reexport_client.wait_for_completion(reexport_id)
    assert (job["status"], job["unchanged"], job["file"]) == ("completed", True, versions[0]["file"])
    assert await reexport_client.list_versions(report_id) == versions
    assert storage.list_keys(reexport_client.export_prefix(job["export_id"])) == []
