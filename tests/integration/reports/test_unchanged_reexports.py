"""Re-exports of current data that change nothing: they complete with the newest version and add none."""

from datetime import timedelta

import psycopg
from temporalio.client import Client

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export_job import ExportJob
from stafett.domain.membership import Role
from stafett.exports.file_removal import FileRemoval
from stafett.reports.comparison import VersionComparison
from stafett.reports.completion import ReexportCompletion
from stafett.reports.steps import ReexportSteps
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.temporal.client import start_job
from stafett.testing import ActivityFactory, Json, Tenant
from tests.support.exports import EXPORTS, fetch_events
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexport_faults import reject_audit_event, start_without_run
from tests.support.reexports import (
    ReexportClient,
    add_mapping_version,
    download_file,
    fetch_notifications,
    fetch_status_history,
)
from tests.support.retention import open_retention


async def test_reexport_without_change_completes_with_the_newest_version(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, storage: FileStorage, owner_url: str
) -> None:
    before = await reexport_client.list_versions(report_id)
    async with run_worker():
        job = await reexport_client.complete_reexport(report_id, reason="To be sure.")
    assert await reexport_client.list_versions(report_id) == before
    assert (job["unchanged"], job["file_version"], job["file"]) == (True, 1, before[0]["file"])
    original = await reexport_client.export_client.get_export(before[0]["export_id"])
    assert await download_file(job) == await download_file(original)
    assert storage.list_keys(reexport_client.export_prefix(job["export_id"])) == []
    assert fetch_status_history(owner_url, job["id"])[-2:] == ["notifying", "completed"]
    assert fetch_events(owner_url, job["id"])[-2:] == ["result_unchanged", "reexport_completed"]
    assert fetch_notifications(owner_url, job["id"]) == [("reexport_ended", "completed")]


async def test_every_kind_of_change_adds_a_version(
    reexport_client: ReexportClient,
    report_id: str,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    owner_url: str,
) -> None:
    async def complete(**fields: object) -> tuple[int, bool]:
        job = await reexport_client.complete_reexport(report_id, **fields)
        return job["file_version"], job["unchanged"]

    def execute(statement: str) -> None:
        with psycopg.connect(owner_url) as connection:
            connection.execute(statement.encode(), [tenant.org_id])

    async with run_worker():
        assert await complete(overrides={"csv_profile": "machine"}) == (2, False)  # other parameters
        assert await complete() == (3, False)  # again those of the original
        assert await complete() == (3, True)
        activity_factory.create_activity(activity_factory.create_mentor())
        assert await complete() == (4, False)
        execute("UPDATE activities SET place = 'Vardø' WHERE org_id = %s")
        assert await complete() == (5, False)
        execute("UPDATE organisations SET name = 'Et annet navn' WHERE id = %s")
        assert await complete() == (6, False)
        add_mapping_version(owner_url, tenant.org_id, move_first_column_to_the_end)
        assert await complete() == (7, False)
        assert await complete() == (7, True)
        assert await complete(source="same_snapshot", version=7) == (8, False)  # a copy is what was requested


async def test_reexport_adds_a_version_if_the_newest_file_is_not_stored(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    (original,) = await reexport_client.list_versions(report_id)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET file_missing_since = now() WHERE id = %s", [original["export_id"]])
    async with run_worker():
        job = await reexport_client.complete_reexport(report_id)
        assert (job["file_version"], job["unchanged"]) == (2, False)
        admin = bearer(tenant.users[Role.ADMIN], role="admin")
        path = f"{EXPORTS}/{job['export_id']}"
        assert (await reexport_client.http_client.delete(path, headers=admin)).status_code == 204
        job = await reexport_client.complete_reexport(report_id)
    assert (job["file_version"], job["unchanged"]) == (3, False)
    assert (await download_file(job)).startswith(b"\xef\xbb\xbf")


async def test_reexport_after_a_cancelled_one_still_finds_no_change(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker
) -> None:
    cancelled = await reexport_client.start_reexport(report_id)
    await reexport_client.cancel(cancelled)
    async with run_worker():
        assert (await reexport_client.wait_for_completion(cancelled))["status"] == "cancelled"
        job = await reexport_client.complete_reexport(report_id)
    assert (job["unchanged"], job["file_version"]) == (True, 1)
    assert (await reexport_client.cancel(job["id"])).status_code == 409
    assert len(await reexport_client.list_versions(report_id)) == 1


async def test_unchanged_result_that_cannot_be_recorded_is_retried(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, owner_url: str
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    async with run_worker():
        with reject_audit_event(owner_url, reexport_client.export_client.org_id, "result_unchanged"):
            job = await reexport_client.wait_for_completion(reexport_id)
        assert (job["status"], job["error"]["code"], job["unchanged"]) == ("failed", "storage_unavailable", False)
        assert (await reexport_client.complete_reexport(report_id))["unchanged"] is True
    assert len(await reexport_client.list_versions(report_id)) == 1


async def test_files_of_an_unchanged_export_are_removed_although_its_step_was_killed(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    temporal: Client,
    settings: Settings,
    storage: FileStorage,
    worker_database: Database,
    owner_url: str,
) -> None:
    """The step ends after its commit, before the files are removed; the next execution and retention follow."""

    def fail_to_remove(_job: ExportJob) -> bool:
        raise ServiceUnavailableError("S3")

    comparison = VersionComparison(worker_database, storage, raise_if_cancelled=lambda: None)
    steps = ReexportSteps(worker_database, comparison, fail_to_remove)
    job = await start_without_run(reexport_client, report_id, temporal, worker_database)
    child = steps.insert_child_export(steps.load_original_parameters(job, "run"))
    await start_job(temporal, child, settings.temporal.task_queue)
    async with run_worker():
        await reexport_client.export_client.wait_for_completion(str(child.export_id))
    for _ in range(2):
        steps.store_result(job)
    removal = FileRemoval(worker_database, storage, actor=audit_trail.WORKER_ACTOR)
    ReexportCompletion(worker_database, removal.remove).complete(job)
    stored = await reexport_client.get_reexport(str(job.reexport_id))
    assert (stored["status"], stored["unchanged"], stored["file_version"]) == ("completed", True, 1)
    assert storage.list_keys(child.key_prefix) != []
    assert (await get_file_status(reexport_client, str(child.export_id))) == 410
    with psycopg.connect(owner_url) as owner:
        moment = "UPDATE exports SET removal_started_at = removal_started_at - %s WHERE id = %s"
        owner.execute(moment, [timedelta(minutes=6), child.export_id])
    with open_retention(settings, job.org_id) as retention:
        retention.apply()
    assert storage.list_keys(child.key_prefix) == []
    assert (await download_file(stored)) != b""


def move_first_column_to_the_end(document: Json) -> Json:
    first, *others = document["columns"]
    return document | {"columns": [*others, first]}


async def get_file_status(reexport_client: ReexportClient, export_id: str) -> int:
    path = f"{EXPORTS}/{export_id}/file"
    return (await reexport_client.http_client.get(path, headers=reexport_client.headers)).status_code
