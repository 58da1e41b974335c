"""Bundles with attachments from the whole pipeline, read with the standard library and with ``unzip``."""

import asyncio
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
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
from stafett.exports.stages.bundle_attachments import AttachmentBundlingStage
from stafett.exports.stages.generate_file import FileGenerationStage
from stafett.exports.stages.map_columns import ColumnMappingStage
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.support.exports import fetch_deviations
from tests.support.fixture_types import RunWorker

WHEN = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)


async def export_bundle(export_client: ExportClient, **fields: object) -> tuple[Json, ZipFile]:
    job = await export_client.wait_for_completion(await export_client.start_export(include_attachments=True, **fields))
    assert job["status"] == "completed", job["error"]
    async with httpx.AsyncClient() as anonymous_client:
        content = (await anonymous_client.get(job["download_url"])).content
    assert hashlib.sha256(content).hexdigest() == job["file"]["sha256"]
    return job, ZipFile(io.BytesIO(content))


def read_manifest(bundle: ZipFile) -> Json:
    manifest: Json = json.loads(bundle.read("manifest.json"))
    return manifest


def report_unavailable_attachments(owner_url: str, org_id: str) -> None:
    """Add a version of the organisation's mapping that reports unavailable attachments instead of failing."""
    with psycopg.connect(owner_url) as connection:
        query = "SELECT version, document FROM column_mappings WHERE org_id = %s ORDER BY version DESC LIMIT 1"
        version, latest = connection.execute(query, [org_id]).fetchone() or (0, {})
        document = validate_document(latest | {"attachments": {"unavailable": "report"}})
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, %s, gen_random_uuid(), %s, %s, %s)",
            [org_id, version + 1, document.effective_from, document.sha256, json.dumps(document.as_json())],
        )


async def test_bundle_has_the_report_all_attachments_and_a_manifest(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    tmp_path: Path,
) -> None:
    mentor = activity_factory.create_mentor()
    earlier, later = activity_factory.create_activity(mentor), activity_factory.create_activity(mentor, starts_at=WHEN)
    activity_factory.create_attachment(storage, later, b"%PDF one", "Møtereferat på Áhkku.pdf")
    activity_factory.create_attachment(storage, later, b"%PDF two", "Møtereferat på Áhkku.pdf")
    activity_factory.create_attachment(storage, earlier, b"to linjer\n" * 1000, "..\\CON.txt", "text/plain")
    async with run_worker():
        job, bundle = await export_bundle(export_client, export_format="xlsx")
        plain = await export_client.wait_for_completion(await export_client.start_export(export_format="xlsx"))
    assert job["file"]["mime_type"] == "application/zip"
    assert job["file"]["name"] == plain["file"]["name"].replace(".xlsx", ".zip")
    assert job["file"]["content_sha256"] == plain["file"]["content_sha256"]
    report, *attachments, last = bundle.namelist()
    assert (report, last) == (plain["file"]["name"], "manifest.json")
    assert hashlib.sha256(bundle.read(report)).hexdigest() == plain["file"]["sha256"]
    assert attachments == [
        f"attachments/2026-01-05-{earlier}-1-CON.txt",
        f"attachments/2026-04-01-{later}-1-Møtereferat-på-Áhkku.pdf",
        f"attachments/2026-04-01-{later}-2-Møtereferat-på-Áhkku.pdf",
    ]
    assert sorted(bundle.read(name) for name in attachments[1:]) == [b"%PDF one", b"%PDF two"]
    assert [bundle.getinfo(name).compress_type for name in (report, *attachments)] == [
        *(ZIP_STORED, ZIP_DEFLATED, ZIP_STORED, ZIP_STORED)
    ]
    assert {info.date_time for info in bundle.infolist()} == {(2026, 12, 31, 23, 59, 58)}
    assert load_workbook(io.BytesIO(bundle.read(report))).worksheets
    if unzip := shutil.which("unzip"):
        (tmp_path / "bundle.zip").write_bytes(bundle.fp.getvalue())  # type: ignore[union-attr]  # it is the test's BytesIO
        test = await asyncio.create_subprocess_exec(unzip, "-tqq", str(tmp_path / "bundle.zip"))
        assert await test.wait() == 0


async def test_manifest_describes_every_member(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, storage: FileStorage
) -> None:
    activity = activity_factory.create_activity(activity_factory.create_mentor())
    activity_factory.create_attachment(storage, activity)
    async with run_worker():
        job, bundle = await export_bundle(export_client)
    manifest = read_manifest(bundle)
    assert manifest["export_id"] == job["id"]
    assert (manifest["org_id"], manifest["organisation"]) == (export_client.org_id, "Prøveforbundet")
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


async def test_export_without_attachments_is_a_bundle_of_the_report(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        job, bundle = await export_bundle(export_client, export_format="csv")
    assert bundle.namelist() == [job["file"]["name"].replace(".zip", ".csv"), "manifest.json"]
    assert [info.compress_type for info in bundle.infolist()] == [ZIP_DEFLATED, ZIP_DEFLATED]


async def test_attachments_of_deleted_or_other_periods_activities_are_excluded(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, storage: FileStorage
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    for fields in ({"starts_at": datetime(2025, 12, 31, 12, tzinfo=UTC)}, {"deleted_at": WHEN}):
        activity_factory.create_attachment(storage, activity_factory.create_activity(mentor, **fields))
    async with run_worker():
        _, bundle = await export_bundle(export_client)
    assert len(bundle.namelist()) == 2


@pytest.mark.parametrize("fault", ["missing", "changed", "shorter", "longer"])
async def test_missing_or_changed_attachment_fails_the_export_by_default(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    fault: str,
) -> None:
    activity = activity_factory.create_activity(activity_factory.create_mentor())
    activity_factory.create_attachment(storage, activity, b"untouched")
    _damage(storage, activity_factory.create_attachment(storage, activity, b"as it was"), fault)
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export(include_attachments=True))
    assert job["status"] == "failed"
    assert (job["error"]["code"], job["error"]["retryable"]) == ("attachment_unavailable", False)
    assert str(activity) in job["error"]["message"]
    assert job["file"] is None
    keys = storage.list_keys(f"exports/{export_client.org_id}/{job['id']}/")
    assert [key for key in keys if "bundling_attachments" in key] == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("missing", "not_in_storage"),
        ("changed", "not_as_it_was"),
        ("shorter", "not_as_it_was"),
        ("longer", "not_as_it_was"),
    ],
)
async def test_missing_or_changed_attachment_is_reported_if_the_mapping_allows(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    owner_url: str,
    fault: str,
    reason: str,
) -> None:
    report_unavailable_attachments(owner_url, export_client.org_id)
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    activity = activity_factory.create_activity(mentor, note="æ" * 40_000)
    activity_factory.create_attachment(storage, activity, b"untouched")
    _damage(storage, activity_factory.create_attachment(storage, activity, b"as it was"), fault)
    async with run_worker():
        job, bundle = await export_bundle(export_client, export_format="xlsx")
    assert bundle.testzip() is None
    (content,) = (bundle.read(name) for name in bundle.namelist() if name.startswith("attachments/"))
    assert content == b"untouched"
    truncated, unavailable = job["partial_failures"]
    assert (truncated["code"], job["partial_failure_count"]) == ("text_cut", 2)
    assert unavailable["code"] == "attachment_unavailable"
    assert unavailable["sub_service_name"] == "bufdir-attachment-bundler"
    assert unavailable["failure_reason"].startswith("Et vedlegg ")
    assert unavailable["affected_row_indices"] == [1]
    assert unavailable["affected_activity_ids"] == [str(activity)]
    assert unavailable["is_fatal"] is False
    (missing,) = (member for member in read_manifest(bundle)["members"] if member["missing"])
    assert missing["reason"] == reason
    assert missing["sha256"] == hashlib.sha256(b"as it was").hexdigest()
    assert missing["name"] not in bundle.namelist()


async def test_missing_attachments_are_lines_among_the_deviations(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    owner_url: str,
) -> None:
    report_unavailable_attachments(owner_url, export_client.org_id)
    mentor = activity_factory.create_mentor("Åse Ødegård")
    _, abroad, _, complete, last = (
        activity_factory.create_activity(mentor, in_norway=number != 1) for number in range(5)
    )
    activity_factory.create_attachment(storage, complete)
    for activity, fault in ((abroad, "missing"), (abroad, "changed"), (last, "missing")):
        _damage(storage, activity_factory.create_attachment(storage, activity, b"as it was"), fault)
    async with run_worker():
        job, bundle = await export_bundle(export_client)
    lines = await fetch_deviations(export_client, job["id"])
    assert [(line["row"], line["outcome"], line["codes"]) for line in lines] == [
        ("3", "not_countable", "abroad attachment_unavailable"),
        ("6", "warning", "attachment_unavailable"),
    ]
    assert [line["activity_id"] for line in lines] == [str(abroad), str(last)]
    reason, attachments = lines[0]["problem"].split(" · ")
    assert reason == "Holdt utenfor Norge"
    assert set(re.findall(r"[^.]+\.", attachments.replace(". ", "."))) == {
        "Et vedlegg finnes ikke lenger i lageret og er ikke med.",
        "Et vedlegg er ikke lenger den filen som ble lagt ved, og er ikke med.",
    }
    assert lines[1]["problem"] == "Et vedlegg finnes ikke lenger i lageret og er ikke med."
    assert lines[1]["repair"] == "Legg filen ved aktiviteten på nytt, og lag rapporten på nytt."
    assert (lines[1]["mentor"], lines[1]["place"]) == ("Åse Ødegård", "Tromsø")
    assert str(last) in bundle.read(bundle.namelist()[0]).decode("utf-8-sig").splitlines()[5]


def _damage(storage: FileStorage, key: str, fault: str) -> None:
    storage.delete_prefix(key)
    if fault != "missing":
        storage.write(key, [{"changed": b"AS IT WAS", "shorter": b"as it", "longer": b"as it was and more"}[fault]])


async def test_attachment_of_several_blocks_is_bundled_completely(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, storage: FileStorage
) -> None:
    content = bytes(range(256)) * 4096 * 10
    activity_factory.create_attachment(
        storage, activity_factory.create_activity(activity_factory.create_mentor()), content, "film.mp4", "video/mp4"
    )
    async with run_worker():
        _, bundle = await export_bundle(export_client)
    assert bundle.read(bundle.namelist()[1]) == content


async def test_two_bundles_of_the_same_rows_differ_only_in_their_manifest(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, storage: FileStorage
) -> None:
    activity_factory.create_attachment(storage, activity_factory.create_activity(activity_factory.create_mentor()))
    async with run_worker():
        _, first = await export_bundle(export_client)
        _, second = await export_bundle(export_client)
    assert first.namelist() == second.namelist()
    assert [name for name in first.namelist() if first.read(name) != second.read(name)] == ["manifest.json"]


@pytest.fixture
def stage_store(worker_database: Database) -> StageStore:
    return StageStore(worker_database)


@pytest.fixture
def unbundled_job(
    export_service: ExportService,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    stage_store: StageStore,
    storage: FileStorage,
    worker_database: Database,
) -> ExportJob:
    """An export whose report is generated and whose single attachment is not bundled yet."""
    activity_factory.create_attachment(storage, activity_factory.create_activity(activity_factory.create_mentor()))
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = {"reporting_period": period, "export_format": "csv", "include_attachments": True}
    ids = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator}
    job = export_service.accept(caller, ExportRequest.model_validate(body | ids)).export.job
    mappings = MappingVersions(worker_database)
    stages = StageRunner(stage_store, storage, raise_if_cancelled=lambda: None)
    parts = MappedPartStore(worker_database, build_fingerprint="1")
    stages.run(job, ExportStatus.QUERYING_ACTIVITIES, ActivityQueryStage(worker_database, mappings))
    stages.run(job, ExportStatus.MAPPING_COLUMNS, ColumnMappingStage(storage, mappings, parts))
    stages.run(job, ExportStatus.GENERATING_FILE, FileGenerationStage(storage, mappings))
    return job


def _bundle(
    job: ExportJob,
    stage_store: StageStore,
    storage: FileStorage,
    database: Database,
    raise_if_cancelled: Callable[[], None],
) -> None:
    bundler = AttachmentBundlingStage(storage, MappingVersions(database))
    StageRunner(stage_store, storage, raise_if_cancelled=raise_if_cancelled).run(
        job, ExportStatus.BUNDLING_ATTACHMENTS, bundler
    )


def test_cancelling_while_bundling_leaves_no_objects(
    unbundled_job: ExportJob, stage_store: StageStore, storage: FileStorage, worker_database: Database
) -> None:
    def stop() -> None:
        raise WorkCancelledError("The work was cancelled.")

    prefix = f"exports/{unbundled_job.org_id}/"
    before = storage.list_keys(prefix)
    with pytest.raises(WorkCancelledError):
        _bundle(unbundled_job, stage_store, storage, worker_database, stop)
    assert storage.list_keys(prefix) == before
    _bundle(unbundled_job, stage_store, storage, worker_database, lambda: None)
    (key,) = set(storage.list_keys(prefix)) - set(before)
    assert key.endswith(".zip")


@pytest.mark.parametrize("suffix", ["attachments-00000.arrow", ".csv"])
def test_bundling_fails_as_staged_data_lost_if_its_input_is_missing(
    unbundled_job: ExportJob, stage_store: StageStore, storage: FileStorage, worker_database: Database, suffix: str
) -> None:
    (key,) = (key for key in storage.list_keys(f"exports/{unbundled_job.org_id}/") if key.endswith(suffix))
    storage.delete_prefix(key)
    with pytest.raises(StagedDataLostError):
        _bundle(unbundled_job, stage_store, storage, worker_database, lambda: None)
    assert not [key for key in storage.list_keys(f"exports/{unbundled_job.org_id}/") if "bundling" in key]
