"""What is kept, for how long, and what goes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from stafett.domain.export_job import RetentionReport
from stafett.exports.retention import Retention
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json
from tests.integration.test_steering import events_of, failed_while, place, retried, undo
from tests.retention import ended_ago, retention_of

Working = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with retention_of(settings, org_id) as retention:
        yield retention


async def completed(
    button: ExportClient, diary: ActivityFactory, storage: FileStorage, working: Working, **asked: object
) -> Json:
    diary.create_attachment(storage, diary.create_activity(diary.create_mentor()))
    async with working():
        return await button.wait_for_completion(await button.start_export(**asked))


async def test_of_a_finished_export_its_file_and_its_snapshot_are_kept(
    button: ExportClient,
    diary: ActivityFactory,
    storage: FileStorage,
    working: Working,
    retention: Retention,
    owner_url: str,
) -> None:
    job = await completed(button, diary, storage, working, include_attachments=True, export_format="xlsx")
    before = storage.list_keys(place(button.org_id, job["id"]))
    assert retention.apply() == RetentionReport()  # an execution that was thought dead may still be at work
    ended_ago(owner_url, job["id"], timedelta(minutes=11))
    assert retention.apply() == RetentionReport(staging_cleared=1)
    kept = storage.list_keys(place(button.org_id, job["id"]))
    assert {key.rpartition("/")[2] for key in kept} == {
        "part-00000.arrow",
        "attachments-00000.arrow",
        f"{button.org_id}-bufdir-2026-01-01-2026-12-31.zip",
    }
    assert len(before) > len(kept) == 3
    assert retention.apply() == RetentionReport()
    assert (await button.get_export(job["id"]))["download_url"] is not None


async def test_files_go_when_their_time_has_come(
    button: ExportClient,
    diary: ActivityFactory,
    storage: FileStorage,
    working: Working,
    retention: Retention,
    owner_url: str,
) -> None:
    job = await completed(button, diary, storage, working)
    ended_ago(owner_url, job["id"], timedelta(days=1827))
    assert retention.apply().files_removed == 1
    assert storage.list_keys(place(button.org_id, job["id"])) == []
    assert events_of(owner_url, job["id"])[-1] == "files_removed"
    after = await button.get_export(job["id"])
    assert (after["status"], after["download_url"], after["file"]) == ("completed", None, job["file"])
    assert retention.apply() == RetentionReport()


async def test_what_a_failed_export_left_goes_after_a_fortnight_and_it_then_begins_anew(
    button: ExportClient,
    diary: ActivityFactory,
    storage: FileStorage,
    working: Working,
    retention: Retention,
    owner_url: str,
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        export_id = await failed_while(button, owner_url, "export_completed")
        undo(owner_url)
        ended_ago(owner_url, export_id, timedelta(days=13))
        assert retention.apply() == RetentionReport(staging_cleared=1)
        assert storage.list_keys(place(button.org_id, export_id))
        ended_ago(owner_url, export_id, timedelta(days=15))
        assert retention.apply() == RetentionReport(files_removed=1)
        assert storage.list_keys(place(button.org_id, export_id)) == []
        diary.create_activity(diary.create_mentor())
        assert (await retried(button, export_id)).status_code == 202
        job = await button.wait_for_completion(export_id)
    assert (job["status"], job["row_count"], job["attempts"][1]["stages_reused"]) == ("completed", 2, [])
    assert job["download_url"] is not None


async def test_what_lost_attempts_left_goes_and_what_a_retry_needs_stays(
    button: ExportClient,
    diary: ActivityFactory,
    storage: FileStorage,
    working: Working,
    retention: Retention,
    owner_url: str,
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        export_id = await failed_while(button, owner_url, "export_completed")
        undo(owner_url)
        needed = storage.list_keys(place(button.org_id, export_id))
        stray = f"{place(button.org_id, export_id)}1-mapping_columns-{UUID(int=7).hex[:8]}/part-00000.arrow"
        storage.write(stray, [b"half"])
        ended_ago(owner_url, export_id, timedelta(hours=1))
        assert retention.apply() == RetentionReport(staging_cleared=1)
        assert storage.list_keys(place(button.org_id, export_id)) == needed
        assert (await retried(button, export_id)).status_code == 202
        assert (await button.wait_for_completion(export_id))["status"] == "completed"


def test_keys_that_nobody_repeats_any_more_are_forgotten(retention: Retention, org_id: str, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        for key, days in (("old", 31), ("young", 29)):
            connection.execute(
                "INSERT INTO idempotency_keys (org_id, operation, key, request_sha256, resource_id, created_at)"
                " VALUES (%s, 'some', %s, 'x', gen_random_uuid(), now() - %s * interval '1 day')",
                [org_id, key, days],
            )
    retention.apply()
    with psycopg.connect(owner_url) as connection:
        kept = connection.execute("SELECT key FROM idempotency_keys WHERE org_id = %s", [org_id]).fetchall()
    assert kept == [("young",)]
