"""Retention periods of files, snapshots, staging objects and idempotency keys."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export_job import RetentionReport
from stafett.exports.retention import Retention
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json
from tests.support.exports import (
    EXPORTS,
    drop_trigger,
    export_prefix,
    fail_export_at_event,
    fetch_events,
    retry_export,
)
from tests.support.fixture_types import RunWorker
from tests.support.hanging_server import HangingServer
from tests.support.retention import backdate_completion, open_retention


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with open_retention(settings, org_id) as retention:
        yield retention


async def run_export(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    **fields: object,
) -> Json:
    activity_factory.create_attachment(storage, activity_factory.create_activity(activity_factory.create_mentor()))
    async with run_worker():
        return await export_client.wait_for_completion(await export_client.start_export(**fields))


async def test_finished_export_keeps_only_its_file_and_snapshot(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    retention: Retention,
    owner_url: str,
) -> None:
    job = await run_export(
        export_client, activity_factory, storage, run_worker, include_attachments=True, export_format="xlsx"
    )
    before = storage.list_keys(export_prefix(export_client.org_id, job["id"]))
    assert retention.apply() == RetentionReport()  # an execution that Temporal timed out may still be running
    backdate_completion(owner_url, job["id"], timedelta(minutes=11))
    assert retention.apply() == RetentionReport(staging_cleared=1)
    remaining = storage.list_keys(export_prefix(export_client.org_id, job["id"]))
    assert {key.rpartition("/")[2] for key in remaining} == {
        "part-00000.arrow",
        "attachments-00000.arrow",
        f"{export_client.org_id}-bufdir-2026-01-01-2026-12-31.zip",
    }
    assert len(before) > len(remaining) == 3
    assert retention.apply() == RetentionReport()
    assert (await export_client.get_export(job["id"]))["download_url"] is not None


async def test_files_are_removed_after_their_retention_period(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    retention: Retention,
    owner_url: str,
) -> None:
    job = await run_export(export_client, activity_factory, storage, run_worker)
    backdate_completion(owner_url, job["id"], timedelta(days=1827))
    assert retention.apply().files_removed == 1
    assert storage.list_keys(export_prefix(export_client.org_id, job["id"])) == []
    assert fetch_events(owner_url, job["id"])[-1] == "files_removed"
    after = await export_client.get_export(job["id"])
    assert (after["status"], after["download_url"], after["file"]) == ("completed", None, job["file"])
    assert retention.apply() == RetentionReport()


async def test_stages_of_a_failed_export_are_deleted_after_a_fortnight(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    retention: Retention,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await fail_export_at_event(export_client, owner_url, "export_completed")
        drop_trigger(owner_url)
        backdate_completion(owner_url, export_id, timedelta(days=13))
        assert retention.apply() == RetentionReport(staging_cleared=1)
        assert storage.list_keys(export_prefix(export_client.org_id, export_id))
        backdate_completion(owner_url, export_id, timedelta(days=15))
        assert retention.apply() == RetentionReport(files_removed=1)
        assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == []
        activity_factory.create_activity(activity_factory.create_mentor())
        assert (await retry_export(export_client, export_id)).status_code == 202
        job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["row_count"], job["attempts"][1]["stages_reused"]) == ("completed", 2, [])
    assert job["download_url"] is not None


async def test_objects_that_a_retry_needs_outlive_stray_objects(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    retention: Retention,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await fail_export_at_event(export_client, owner_url, "export_completed")
        drop_trigger(owner_url)
        needed = storage.list_keys(export_prefix(export_client.org_id, export_id))
        stray = (
            f"{export_prefix(export_client.org_id, export_id)}1-mapping_columns-{UUID(int=7).hex[:8]}/part-00000.arrow"
        )
        storage.write(stray, [b"half"])
        backdate_completion(owner_url, export_id, timedelta(hours=1))
        assert retention.apply() == RetentionReport(staging_cleared=1)
        assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == needed
        assert (await retry_export(export_client, export_id)).status_code == 202
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed"


class FailingStorage(FileStorage):
    """Storage that fails below one prefix while it responds to everything else."""

    failing_prefix = ""

    def delete_prefix(self, prefix: str, **options: Any) -> None:
        if prefix == self.failing_prefix:
            raise OSError
        super().delete_prefix(prefix, **options)


async def test_interrupted_file_removal_is_completed_by_retention(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    settings: Settings,
    owner_url: str,
) -> None:
    export_id = (await run_export(export_client, activity_factory, storage, run_worker))["id"]
    backdate_completion(owner_url, export_id, timedelta(days=1827))
    failing = FailingStorage(settings.s3)
    failing.failing_prefix = export_prefix(export_client.org_id, export_id)
    with open_retention(settings, export_client.org_id, failing) as retention:
        assert retention.apply() == RetentionReport(errors=2)  # the staging objects, then the files
        response = await export_client.http_client.get(f"{EXPORTS}/{export_id}/file", headers=export_client.headers)
        assert (response.status_code, response.json()["code"]) == (410, "file_removed")
        assert (await export_client.get_export(export_id))["download_url"] is None
        failing.failing_prefix = ""
        assert retention.apply() == RetentionReport(files_removed=1)
        assert retention.apply() == RetentionReport()
    assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == []
    assert fetch_events(owner_url, export_id).count("files_removed") == 1


async def test_error_of_one_export_does_not_stop_the_others(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    settings: Settings,
    owner_url: str,
) -> None:
    first, second = [(await run_export(export_client, activity_factory, storage, run_worker))["id"] for _ in range(2)]
    for export_id, days in ((first, 1828), (second, 1827)):
        backdate_completion(owner_url, export_id, timedelta(days=days))
    failing = FailingStorage(settings.s3)
    failing.failing_prefix = export_prefix(export_client.org_id, first)
    with open_retention(settings, export_client.org_id, failing) as retention:
        assert retention.apply() == RetentionReport(staging_cleared=1, files_removed=1, errors=2)
    assert fetch_events(owner_url, second)[-1] == "files_removed"


async def test_retention_stops_when_s3_does_not_respond(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    storage: FileStorage,
    run_worker: RunWorker,
    settings: Settings,
    owner_url: str,
) -> None:
    export_id = (await run_export(export_client, activity_factory, storage, run_worker))["id"]
    backdate_completion(owner_url, export_id, timedelta(days=1827))
    with HangingServer() as server, open_retention(settings, export_client.org_id, server.storage) as retention:
        with pytest.raises(ServiceUnavailableError):
            retention.apply()
        assert len(server.collect_methods()) == 2  # the failed request, and the ping


def test_old_idempotency_keys_are_deleted(retention: Retention, org_id: str, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        for key, days in (("old", 31), ("young", 29)):
            connection.execute(
                "INSERT INTO idempotency_keys (org_id, operation, key, request_sha256, resource_id, created_at)"
                " VALUES (%s, 'some', %s, 'x', gen_random_uuid(), now() - %s * interval '1 day')",
                [org_id, key, days],
            )
    retention.apply()
    with psycopg.connect(owner_url) as connection:
        remaining = connection.execute("SELECT key FROM idempotency_keys WHERE org_id = %s", [org_id]).fetchall()
    assert remaining == [("young",)]
