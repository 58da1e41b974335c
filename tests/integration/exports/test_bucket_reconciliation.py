"""Objects that no clean-up finds, and files that are missing, after late writes and after a restore of the database."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from temporalio.client import Client

from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Database
from stafett.domain.export_job import BucketReport
from stafett.exports.bucket_reconciliation import BucketPolicy, BucketReconciliation
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.storage.s3 import create_s3_client
from stafett.temporal.client import RECONCILE_BUCKET
from stafett.testing import ActivityFactory, ExportClient
from tests.support.exports import (
    EXPORTS,
    drop_trigger,
    export_prefix,
    fail_export_at_event,
    fetch_events,
    retry_export,
)
from tests.support.fixture_types import RunWorker
from tests.support.retention import backdate_completion

NO_GRACE = BucketPolicy(grace_period=timedelta(0))
LATE_OBJECT = "1-generating_file-0badcafe/report.csv"


@pytest.fixture
def maintenance(settings: Settings) -> Iterator[Database]:
    database = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
    yield database
    database.close()


@pytest.fixture
def reconciliation(maintenance: Database, storage: FileStorage, org_id: str) -> BucketReconciliation:
    """A reconciliation that considers every object old enough."""
    return BucketReconciliation(maintenance, storage, raise_if_cancelled=lambda: None, policy=NO_GRACE, org_id=org_id)


async def complete_export(export_client: ExportClient, run_worker: RunWorker, owner_url: str, **fields: object) -> str:
    """Complete an export, an hour ago, and return its id."""
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export(**fields))
    backdate_completion(owner_url, job["id"], timedelta(hours=1))
    return str(job["id"])


async def test_late_objects_are_deleted_and_everything_needed_remains(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    reconciliation: BucketReconciliation,
    storage: FileStorage,
    settings: Settings,
    owner_url: str,
) -> None:
    org_id, activity = export_client.org_id, activity_factory.create_activity(activity_factory.create_mentor())
    attachment = activity_factory.create_attachment(storage, activity)
    completed = await complete_export(export_client, run_worker, owner_url, include_attachments=True)
    cancelled = await export_client.start_export()
    await export_client.http_client.put(f"{EXPORTS}/{cancelled}/cancel", headers=export_client.headers)
    async with run_worker():
        await export_client.wait_for_completion(cancelled)
        failed = await fail_export_at_event(export_client, owner_url, "export_completed")
    drop_trigger(owner_url)
    for export_id in (cancelled, failed):
        backdate_completion(owner_url, export_id, timedelta(hours=1))
    running = await export_client.start_export()
    needed = storage.list_keys(export_prefix(org_id, failed))
    others = [
        f"{export_prefix(org_id, completed)}copies/report.csv",
        f"exports/{org_id}/readme.txt",
        export_prefix(org_id, running) + LATE_OBJECT,
    ]
    for key in others:
        storage.write(key, [b"other"])
    for export_id in (completed, cancelled, failed):
        storage.write(export_prefix(org_id, export_id) + LATE_OBJECT, [b"late"])
    for export_id in (cancelled, running):
        start_upload(settings, export_prefix(org_id, export_id) + LATE_OBJECT)

    report = reconciliation.reconcile()
    assert (report.uploads_aborted, report.unrecognised, report.errors) == (1, 2, 0)
    keys = storage.list_keys(f"exports/{org_id}/")
    assert {key for key in keys if key.endswith(LATE_OBJECT)} == {others[2]}
    assert set(others) | set(needed) <= set(keys)
    assert [upload.key for upload in storage.iterate_uploads(f"exports/{org_id}/")] == [others[2]]
    assert storage.list_keys(f"attachments/{org_id}/") == [attachment]
    assert reconciliation.reconcile().objects_deleted == 0
    await assert_downloadable(export_client, completed)
    async with run_worker():
        assert (await retry_export(export_client, failed)).status_code == 202
        assert (await export_client.wait_for_completion(failed))["status"] == "completed"
        assert (await export_client.wait_for_completion(running))["status"] == "completed"


async def test_object_written_after_a_deletion_is_deleted(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    reconciliation: BucketReconciliation,
    maintenance: Database,
    storage: FileStorage,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await complete_export(export_client, run_worker, owner_url)
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE exports SET removal_started_at = now(), files_removed_at = now() WHERE id = %s", [export_id]
        )
    default_policy = BucketReconciliation(
        maintenance, storage, raise_if_cancelled=lambda: None, org_id=export_client.org_id
    )
    assert default_policy.reconcile().objects_deleted == 0  # too young
    assert reconciliation.reconcile().objects_deleted > 0
    assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == []


async def test_missing_file_of_a_completed_export_is_gone_until_it_is_restored(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    reconciliation: BucketReconciliation,
    storage: FileStorage,
    owner_url: str,
) -> None:
    """As after a restore of the database, which brings back the row of an export that was deleted meanwhile."""
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await complete_export(export_client, run_worker, owner_url)
    key = fetch_file_key(owner_url, export_id)
    content = storage.read(key)
    storage.delete_prefix(export_prefix(export_client.org_id, export_id))
    assert reconciliation.reconcile() == BucketReport(files_missing=1)
    assert reconciliation.reconcile() == BucketReport()
    assert (await export_client.get_export(export_id))["download_url"] is None
    response = await export_client.http_client.get(f"{EXPORTS}/{export_id}/file", headers=export_client.headers)
    assert (response.status_code, response.json()["code"]) == (410, "file_removed")
    storage.write(key, [content])
    assert reconciliation.reconcile() == BucketReport(objects=1, files_found=1)
    await assert_downloadable(export_client, export_id)
    assert fetch_events(owner_url, export_id).count("file_missing") == 1
    assert fetch_events(owner_url, export_id).count("file_found") == 1


async def test_objects_of_an_unknown_export_are_deleted_after_a_week(
    export_client: ExportClient, reconciliation: BucketReconciliation, storage: FileStorage, owner_url: str
) -> None:
    for _ in range(3):  # known exports outnumber the unknown one
        await export_client.start_export()
    unknown, prefix = uuid4(), f"exports/{export_client.org_id}/"
    storage.write(f"{prefix}{unknown}/{LATE_OBJECT}", [b"rows"])
    assert reconciliation.reconcile() == BucketReport(objects=1, unknown_exports=1)
    backdate_first_seen(owner_url, [unknown], timedelta(days=6))
    assert reconciliation.reconcile().objects_deleted == 0
    backdate_first_seen(owner_url, [unknown], timedelta(days=8))
    assert reconciliation.reconcile().objects_deleted == 1
    assert storage.list_keys(prefix) == []
    assert reconciliation.reconcile() == BucketReport()


def test_bucket_of_another_database_loses_no_object(
    reconciliation: BucketReconciliation, storage: FileStorage, org_id: str, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        (known,) = connection.execute("SELECT count(*) FROM exports").fetchone() or (0,)
        unknown = [uuid4() for _ in range(known + 1)]
        for export_id in unknown:
            connection.execute("INSERT INTO unknown_exports (export_id) VALUES (%s)", [export_id])
    key = export_prefix(org_id, str(unknown[0])) + LATE_OBJECT
    storage.write(key, [b"rows"])
    backdate_first_seen(owner_url, unknown, timedelta(days=8))
    assert reconciliation.reconcile().objects_deleted == 0
    assert storage.list_keys(f"exports/{org_id}/") == [key]
    storage.delete([key])
    reconciliation.reconcile()


async def test_file_of_an_attempt_that_a_restore_lost_remains_for_a_week(
    export_client: ExportClient,
    run_worker: RunWorker,
    reconciliation: BucketReconciliation,
    storage: FileStorage,
    owner_url: str,
) -> None:
    export_id = await export_client.start_export(fail_on_empty=True)
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "failed"
    backdate_completion(owner_url, export_id, timedelta(hours=1))
    lost = f"{export_prefix(export_client.org_id, export_id)}2-generating_file-0badcafe/report.csv"
    storage.write(lost, [b"rows"])
    assert reconciliation.reconcile() == BucketReport(objects=1, unknown_exports=1)
    assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == [lost]
    storage.delete([lost])
    assert reconciliation.reconcile() == BucketReport()


async def test_reconciliation_runs_as_a_workflow(temporal: Client, settings: Settings, run_worker: RunWorker) -> None:
    async with run_worker():
        report = await temporal.execute_workflow(
            RECONCILE_BUCKET,
            id=f"reconcile-bucket-{uuid4()}",
            task_queue=settings.temporal.task_queue,
            result_type=BucketReport,
        )
    assert (report.objects_deleted, report.uploads_aborted) == (0, 0)


async def assert_downloadable(export_client: ExportClient, export_id: str) -> None:
    async with httpx.AsyncClient() as http_client:
        job = await export_client.get_export(export_id)
        assert (await http_client.get(job["download_url"])).status_code == 200


def start_upload(settings: Settings, key: str) -> None:
    client = create_s3_client(settings.s3, settings.s3.endpoint)
    client._create_multipart_upload(settings.s3.bucket, key, {})  # noqa: SLF001 - the library has no public method that stops halfway


def fetch_file_key(owner_url: str, export_id: str) -> str:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT file->>'key' FROM exports WHERE id = %s", [export_id]).fetchone()
    assert row is not None
    return str(row[0])


def backdate_first_seen(owner_url: str, export_ids: Sequence[UUID], ago: timedelta) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE unknown_exports SET first_seen_at = now() - %s WHERE export_id = ANY(%s)", [ago, list(export_ids)]
        )
