"""Exports with attachments at the end of the pipeline, opened by the standard library and by ``unzip``."""

import asyncio
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import httpx
import psycopg
import pytest
from openpyxl import load_workbook

from stafett.column_mapper import validate_document
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.errors import StagedDataLostError, WorkCancelledError
from stafett.domain.export import ExportRequest
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.exports.mapped_parts import MappedPartStore
from stafett.exports.service import ExportService
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stage_store import StageStore
from stafett.exports.stages.bundle_attachments import AttachmentBundler
from stafett.exports.stages.generate_file import FileGeneration
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant

Working = Callable[[], AbstractAsyncContextManager[None]]
WHEN = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)


async def bundled(button: ExportClient, **asked: object) -> tuple[Json, ZipFile]:
    job = await button.wait_for_completion(await button.start_export(include_attachments=True, **asked))
    assert job["status"] == "completed", job["error"]
    async with httpx.AsyncClient() as anybody:
        content = (await anybody.get(job["download_url"])).content
    assert hashlib.sha256(content).hexdigest() == job["file"]["sha256"]
    return job, ZipFile(io.BytesIO(content))


def manifest_of(bundle: ZipFile) -> Json:
    manifest: Json = json.loads(bundle.read("manifest.json"))
    return manifest


def tolerant(owner_url: str, org_id: str) -> None:
    """The organisation's mapping as it is, but that missing attachments are reported."""
    with psycopg.connect(owner_url) as connection:
        query = "SELECT version, document FROM column_mappings WHERE org_id = %s ORDER BY version DESC LIMIT 1"
        version, written = connection.execute(query, [org_id]).fetchone() or (0, {})
        document = validate_document(written | {"attachments": {"unavailable": "report"}})
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, %s, gen_random_uuid(), %s, %s, %s)",
            [org_id, version + 1, document.effective_from, document.sha256, json.dumps(document.as_json())],
        )


async def test_a_bundle_holds_the_report_every_attachment_and_a_manifest_of_them(
    button: ExportClient, diary: ActivityFactory, working: Working, storage: FileStorage, tmp_path: Path
) -> None:
    mentor = diary.create_mentor()
    other, one = diary.create_activity(mentor), diary.create_activity(mentor, starts_at=WHEN)
    diary.create_attachment(storage, one, b"%PDF one", "Møtereferat på Áhkku.pdf")
    diary.create_attachment(storage, one, b"%PDF two", "Møtereferat på Áhkku.pdf")
    diary.create_attachment(storage, other, b"to linjer\n" * 1000, "..\\CON.txt", "text/plain")
    async with working():
        job, bundle = await bundled(button, export_format="xlsx")
        plain = await button.wait_for_completion(await button.start_export(export_format="xlsx"))
    assert job["file"]["mime_type"] == "application/zip"
    assert job["file"]["name"] == plain["file"]["name"].replace(".xlsx", ".zip")
    assert job["file"]["content_sha256"] == plain["file"]["content_sha256"]
    report, *attachments, last = bundle.namelist()
    assert (report, last) == (plain["file"]["name"], "manifest.json")
    assert hashlib.sha256(bundle.read(report)).hexdigest() == plain["file"]["sha256"]
    assert attachments == [
        f"attachments/2026-01-05-{other}-1-CON.txt",
        f"attachments/2026-04-01-{one}-1-Møtereferat-på-Áhkku.pdf",
        f"attachments/2026-04-01-{one}-2-Møtereferat-på-Áhkku.pdf",
    ]
    assert sorted(bundle.read(name) for name in attachments[1:]) == [b"%PDF one", b"%PDF two"]
    assert [bundle.getinfo(name).compress_type for name in (report, *attachments)] == [
        *(ZIP_STORED, ZIP_DEFLATED, ZIP_STORED, ZIP_STORED)
    ]
    assert {info.date_time for info in bundle.infolist()} == {(2026, 12, 31, 23, 59, 58)}
    assert load_workbook(io.BytesIO(bundle.read(report))).worksheets
    if unzip := shutil.which("unzip"):
        (tmp_path / "bundle.zip").write_bytes(bundle.fp.getvalue())  # type: ignore[union-attr]  # it is our BytesIO
        test = await asyncio.create_subprocess_exec(unzip, "-tqq", str(tmp_path / "bundle.zip"))
        assert await test.wait() == 0


async def test_the_manifest_says_what_each_member_is(
    button: ExportClient, diary: ActivityFactory, working: Working, storage: FileStorage
) -> None:
    activity = diary.create_activity(diary.create_mentor())
    diary.create_attachment(storage, activity)
    async with working():
        job, bundle = await bundled(button)
    manifest = manifest_of(bundle)
    assert manifest["export_id"] == job["id"]
    assert (manifest["org_id"], manifest["organisation"]) == (button.org_id, "Prøveforbundet")
    assert manifest["reporting_period"] == {"start": "2026-01-01", "end": "2026-12-31"}
    assert (manifest["mapping"], manifest["counts"]) == (job["mapping"], job["counts"])
    assert manifest["report"]["formulas_disarmed"] is True
    assert [member["name"] for member in manifest["members"]] == bundle.namelist()[:-1]
    for member in manifest["members"]:
        content = bundle.read(member["name"])
        assert (member["size_bytes"], member["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert [member["source"]["kind"] for member in manifest["members"]] == ["report", "attachment"]
    assert manifest["members"][1]["source"]["activity_id"] == str(activity)
    raw = bundle.read("manifest.json")
    assert json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n" == raw


async def test_an_export_without_a_single_attachment_is_a_bundle_too(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        job, bundle = await bundled(button, export_format="csv")
    assert bundle.namelist() == [job["file"]["name"].replace(".zip", ".csv"), "manifest.json"]
    assert [info.compress_type for info in bundle.infolist()] == [ZIP_DEFLATED, ZIP_DEFLATED]


async def test_only_attachments_of_the_periods_activities_that_are_not_deleted_are_taken_along(
    button: ExportClient, diary: ActivityFactory, working: Working, storage: FileStorage
) -> None:
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    for said in ({"starts_at": datetime(2025, 12, 31, 12, tzinfo=UTC)}, {"deleted_at": WHEN}):
        diary.create_attachment(storage, diary.create_activity(mentor, **said))
    async with working():
        _, bundle = await bundled(button)
    assert len(bundle.namelist()) == 2


@pytest.mark.parametrize("fault", ["missing", "changed", "cut", "longer"])
async def test_an_attachment_that_is_not_as_it_was_ends_the_export_unless_the_mapping_says_otherwise(
    button: ExportClient, diary: ActivityFactory, working: Working, storage: FileStorage, fault: str
) -> None:
    activity = diary.create_activity(diary.create_mentor())
    diary.create_attachment(storage, activity, b"untouched")
    _spoil(storage, diary.create_attachment(storage, activity, b"as it was"), fault)
    async with working():
        job = await button.wait_for_completion(await button.start_export(include_attachments=True))
    assert job["status"] == "failed"
    assert (job["error"]["code"], job["error"]["retryable"]) == ("attachment_unavailable", False)
    assert str(activity) in job["error"]["message"]
    assert job["file"] is None
    keys = storage.list_keys(f"exports/{button.org_id}/{job['id']}/")
    assert [key for key in keys if "bundling_attachments" in key] == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("missing", "not_in_storage"),
        ("changed", "not_as_it_was"),
        ("cut", "not_as_it_was"),
        ("longer", "not_as_it_was"),
    ],
)
async def test_an_attachment_that_is_not_as_it_was_is_left_out_and_told_where_the_mapping_says_so(
    button: ExportClient,
    diary: ActivityFactory,
    working: Working,
    storage: FileStorage,
    owner_url: str,
    fault: str,
    reason: str,
) -> None:
    tolerant(owner_url, button.org_id)
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    activity = diary.create_activity(mentor, note="æ" * 40_000)
    diary.create_attachment(storage, activity, b"untouched")
    _spoil(storage, diary.create_attachment(storage, activity, b"as it was"), fault)
    async with working():
        job, bundle = await bundled(button, export_format="xlsx")
    assert bundle.testzip() is None
    (kept,) = (bundle.read(name) for name in bundle.namelist() if name.startswith("attachments/"))
    assert kept == b"untouched"
    cut, unavailable = job["partial_failures"]
    assert (cut["code"], job["partial_failure_count"]) == ("text_cut", 2)
    assert unavailable["code"] == "attachment_unavailable"
    assert unavailable["sub_service_name"] == "bufdir-attachment-bundler"
    assert unavailable["failure_reason"].startswith("Et vedlegg ")
    assert unavailable["affected_row_indices"] == [1]
    assert unavailable["affected_activity_ids"] == [str(activity)]
    assert unavailable["is_fatal"] is False
    (missing,) = (member for member in manifest_of(bundle)["members"] if member["missing"])
    assert missing["reason"] == reason
    assert missing["sha256"] == hashlib.sha256(b"as it was").hexdigest()
    assert missing["name"] not in bundle.namelist()


def _spoil(storage: FileStorage, key: str, fault: str) -> None:
    storage.delete_prefix(key)
    if fault != "missing":
        storage.write(key, [{"changed": b"AS IT WAS", "cut": b"as it", "longer": b"as it was and more"}[fault]])


async def test_what_is_larger_than_a_block_comes_whole(
    button: ExportClient, diary: ActivityFactory, working: Working, storage: FileStorage
) -> None:
    content = bytes(range(256)) * 4096 * 10
    diary.create_attachment(storage, diary.create_activity(diary.create_mentor()), content, "film.mp4", "video/mp4")
    async with working():
        _, bundle = await bundled(button)
    assert bundle.read(bundle.namelist()[1]) == content


async def test_two_bundles_of_one_snapshot_differ_in_their_manifest_alone(
    button: ExportClient, diary: ActivityFactory, working: Working, storage: FileStorage
) -> None:
    diary.create_attachment(storage, diary.create_activity(diary.create_mentor()))
    async with working():
        _, one = await bundled(button)
        _, other = await bundled(button)
    assert one.namelist() == other.namelist()
    assert [name for name in one.namelist() if one.read(name) != other.read(name)] == ["manifest.json"]


@pytest.fixture
def record(worker_database: Database) -> StageStore:
    return StageStore(worker_database)


@pytest.fixture
def unbundled(
    jobs: ExportService,
    tenant: Tenant,
    diary: ActivityFactory,
    record: StageStore,
    storage: FileStorage,
    worker_database: Database,
) -> ExportJob:
    """An export whose report is there, and whose one attachment is not in a bundle yet."""
    diary.create_attachment(storage, diary.create_activity(diary.create_mentor()))
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    asked = {"reporting_period": period, "export_format": "csv", "include_attachments": True}
    who = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator}
    job = jobs.accept(caller, ExportRequest.model_validate(asked | who)).export.job
    mappings, stages = MappingVersions(worker_database), StageRunner(record, storage, raise_if_cancelled=lambda: None)
    parts = MappedPartStore(worker_database, build_fingerprint="1")
    stages.run(job, ExportStatus.QUERYING_ACTIVITIES, ActivityQueryStage(worker_database, mappings))
    stages.run(job, ExportStatus.MAPPING_COLUMNS, ColumnMapper(record, storage, mappings, parts))
    stages.run(job, ExportStatus.GENERATING_FILE, FileGeneration(record, storage, mappings))
    return job


def _bundle(
    job: ExportJob, record: StageStore, storage: FileStorage, database: Database, go_on: Callable[[], None]
) -> None:
    bundler = AttachmentBundler(record, storage, MappingVersions(database))
    StageRunner(record, storage, raise_if_cancelled=go_on).run(job, ExportStatus.BUNDLING_ATTACHMENTS, bundler)


def test_a_cancel_is_heard_while_a_bundle_is_made_and_nothing_of_it_is_left(
    unbundled: ExportJob, record: StageStore, storage: FileStorage, worker_database: Database
) -> None:
    def stop() -> None:
        raise WorkCancelledError("The work was asked to stop.")

    prefix = f"exports/{unbundled.org_id}/"
    before = storage.list_keys(prefix)
    with pytest.raises(WorkCancelledError):
        _bundle(unbundled, record, storage, worker_database, stop)
    assert storage.list_keys(prefix) == before
    _bundle(unbundled, record, storage, worker_database, lambda: None)
    (made,) = set(storage.list_keys(prefix)) - set(before)
    assert made.endswith(".zip")


@pytest.mark.parametrize("lost", ["attachments-00000.arrow", ".csv"])
def test_a_bundle_of_what_is_lost_in_storage_begins_anew(
    unbundled: ExportJob, record: StageStore, storage: FileStorage, worker_database: Database, lost: str
) -> None:
    (key,) = (key for key in storage.list_keys(f"exports/{unbundled.org_id}/") if key.endswith(lost))
    storage.delete_prefix(key)
    with pytest.raises(StagedDataLostError):
        _bundle(unbundled, record, storage, worker_database, lambda: None)
    assert not [key for key in storage.list_keys(f"exports/{unbundled.org_id}/") if "bundling" in key]
