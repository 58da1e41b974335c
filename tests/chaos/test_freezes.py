"""A worker or a server is frozen at a point of an export and wakes up later; the export completes once.

What wakes up late deletes and overwrites nothing of a later attempt.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest
from temporalio.client import Client

from stafett.devstack.stack import RunningServers
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.exports.retention import Retention
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, wait_until
from tests.chaos.finished_exports import fetch_transitions, list_object_names, summarise_content
from tests.chaos.freezing_worker import BEFORE_DELETION, FREEZE_POINTS, LOCKED
from tests.chaos.frozen_processes import (
    FreezingWorker,
    count_writing_backends,
    list_backends_of,
    list_process_group,
    run_freezing_worker,
)
from tests.chaos.short_timeouts import HEARTBEAT_TIMEOUT
from tests.support.audit import verify_audit_chain
from tests.support.dev_stack import freeze_processes
from tests.support.fixture_types import RunWorker
from tests.support.report_file import fetch_report_file
from tests.support.retention import backdate_completion, open_retention

pytestmark = pytest.mark.usefixtures("short_heartbeat_timeout")
EXPORT_FIELDS = {"export_format": "xlsx", "include_attachments": True}
_FREEZE_SECONDS = 1.5 * HEARTBEAT_TIMEOUT.total_seconds()
"""Longer than the heartbeat timeout, after which Temporal gives an activity to another worker."""
_TAKEOVER_SECONDS = 150
"""Twice the time after which a stage without progress is tried again elsewhere, and more."""


class Target(StrEnum):
    """What is frozen. ``backends`` are those PostgreSQL backends that work for the worker."""

    WORKER = "worker"
    BACKENDS = "backends"
    POSTGRES = "postgres"
    S3 = "s3"
    TEMPORAL = "temporal"


TAKEN_OVER = {Target.WORKER, Target.BACKENDS}
"""While these are frozen, another worker completes the export; while a server is, nothing can."""
ALWAYS_TESTED = {
    (Target.WORKER, ExportStatus.GENERATING_FILE, LOCKED),
    (Target.BACKENDS, ExportStatus.QUERYING_ACTIVITIES, "uncommitted"),
    (Target.POSTGRES, ExportStatus.MAPPING_COLUMNS, "uncommitted"),
    (Target.S3, ExportStatus.GENERATING_FILE, "started"),
    (Target.TEMPORAL, ExportStatus.BUNDLING_ATTACHMENTS, "committed"),
}
_STAGES = [stage for stage in EXPORT_STAGES if stage is not ExportStatus.RECORDING_AUDIT]
_FREEZES = [
    *((target, stage, point) for target in Target for stage in _STAGES for point in FREEZE_POINTS),
    *((Target.WORKER, stage, LOCKED) for stage in _STAGES),
]
CASES = [pytest.param(*freeze, marks=[] if freeze in ALWAYS_TESTED else pytest.mark.soak) for freeze in _FREEZES]


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with open_retention(settings, org_id) as retention:
        yield retention


@asynccontextmanager
async def freeze(target: Target, first: FreezingWorker, stack: RunningServers, owner_url: str) -> AsyncIterator[None]:
    """Keep the target frozen during the block, while the first worker continues unless it is the target itself."""
    if target is Target.WORKER:
        yield
        return
    if target is Target.BACKENDS:
        pids = list_backends_of(owner_url, first.pid)
        assert pids, "no backend works for the worker"
        # A frozen backend keeps the locks of a progress update that the suspension of the worker has interrupted. Until
        # it is frozen, PostgreSQL ends such a transaction.
        await wait_until(lambda: asyncio.to_thread(count_writing_backends, owner_url, pids), lambda count: count == 0)
    else:
        pids = list_process_group(stack.pids[target])
    with freeze_processes(*pids):
        first.resume()
        yield


@pytest.mark.parametrize(("target", "stage", "point"), CASES)
async def test_export_completes_once_after_a_freeze(
    target: Target,
    stage: ExportStatus,
    point: str,
    *,
    stack: RunningServers,
    settings: Settings,
    project: Path,
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
    async with run_freezing_worker(stack, settings, stage, point, project) as first:
        await first.wait_until_suspended()
        async with run_worker():
            async with freeze(target, first, stack, owner_url):
                if target in TAKEN_OVER:
                    job = await wait_until_final(export_client, export_id)
                else:
                    await asyncio.sleep(_FREEZE_SECONDS)  # the length of the fault, not a wait for a result
            job = await wait_until_final(export_client, export_id)
            await first.finish()
    assert job["status"] == "completed", job["error"]
    assert summarise_content(job) == summarise_content(expected)
    await fetch_report_file(await export_client.get_export(export_id))
    transitions = fetch_transitions(owner_url, export_id)
    assert transitions == fetch_transitions(owner_url, undisturbed_id) == ["initialised", *EXPORT_STAGES, "completed"]
    for finished_id in (undisturbed_id, export_id):
        backdate_completion(owner_url, finished_id, timedelta(hours=1))
    assert retention.apply().staging_cleared == 2
    undisturbed_names, names = (
        list_object_names(storage, export_client.org_id, finished_id) for finished_id in (undisturbed_id, export_id)
    )
    assert names == undisturbed_names
    assert verify_audit_chain(settings, export_client.org_id).broken is None


async def test_worker_that_wakes_up_in_a_cancel_deletes_nothing_of_the_next_attempt(
    stack: RunningServers,
    settings: Settings,
    project: Path,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    temporal: Client,
    owner_url: str,
) -> None:
    """The worker is frozen after it has checked the attempt; meanwhile another one cancels and the user retries."""
    activity_factory.create_attachment(storage, activity_factory.create_activity(activity_factory.create_mentor()))
    export_id = await export_client.start_export(**EXPORT_FIELDS)
    await send_command(export_client, "PUT", f"{export_id}/cancel")
    async with run_freezing_worker(stack, settings, ExportStatus.CANCELLING, BEFORE_DELETION, project) as first:
        await first.wait_until_suspended()
        async with run_worker():
            assert (await wait_until_final(export_client, export_id))["status"] == "cancelled"
            # Temporal may have given the run's last task to the frozen worker, and no reconciliation runs here.
            run = temporal.get_workflow_handle(f"bufdir-export/{export_id}")
            await wait_until(run.describe, lambda described: described.close_time is not None)
            await send_command(export_client, "POST", f"{export_id}/retry")
            retried = await wait_until_final(export_client, export_id)
        assert (retried["status"], len(retried["attempts"])) == ("completed", 2)
        await fetch_report_file(retried)
        await first.finish()
    job = await export_client.get_export(export_id)
    assert (job["status"], job["file"], job["download_url"]) == ("completed", retried["file"], retried["download_url"])
    await fetch_report_file(job)
    cancelled, completed = ["initialised", "cancelling", "cancelled"], ["initialised", *EXPORT_STAGES, "completed"]
    assert fetch_transitions(owner_url, export_id) == [*cancelled, *completed]
    assert verify_audit_chain(settings, export_client.org_id).broken is None


async def send_command(export_client: ExportClient, method: str, path: str) -> None:
    response = await export_client.http_client.request(
        method, f"/api/v1/bufdir-exports/{path}", headers=export_client.headers
    )
    assert response.status_code == 202, response.text


async def wait_until_final(export_client: ExportClient, export_id: str) -> Json:
    return await wait_until(
        lambda: export_client.get_export(export_id),
        lambda job: ExportStatus(job["status"]).is_final,
        timeout_seconds=_TAKEOVER_SECONDS,
    )
