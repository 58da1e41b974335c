"""`stafett export verify`: unchanged and tampered downloads."""

import re
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

import pytest
import pytest_asyncio

from stafett.domain.membership import Role
from stafett.settings import S3Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.support.dev_stack import CommandResult, DevStack, Tokens, run_stafett
from tests.support.reexports import ReexportClient
from tests.support.report_file import export_report_file


@dataclass(frozen=True)
class DownloadedFile:
    """A downloaded file, and the environment of a client of the API."""

    job: Json
    path: Path
    env: dict[str, str]

    async def verify(self, *options: str, with_api: bool = True) -> CommandResult:
        return await run_stafett("export", "verify", self.path, *options, env=self.env if with_api else {})

    def tamper(self, name: str, content: bytes) -> None:
        """Repack the ZIP file, with other content in the members whose name contains `name`."""
        original = self.path.rename(self.path.with_suffix(".before"))
        with ZipFile(original) as before, ZipFile(self.path, "w") as after:
            for info in before.infolist():
                after.writestr(info.filename, content if name in info.filename else before.read(info))


@pytest.fixture
def env(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> dict[str, str]:
    token = tokens.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    return {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}


@pytest_asyncio.fixture(loop_scope="session")
async def bundle(
    dev_stack: DevStack,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    empty_folder: Path,
    env: dict[str, str],
) -> DownloadedFile:
    stack_json = dev_stack.stack_json
    keys = {"access_key": stack_json["s3_access_key"], "secret_key": stack_json["s3_secret_key"]}
    s3 = S3Settings.model_validate({"endpoint": stack_json["s3_endpoint"], "bucket": stack_json["s3_bucket"], **keys})
    activity = activity_factory.create_activity(activity_factory.create_mentor())
    activity_factory.create_attachment(FileStorage(s3), activity, b"%PDF referat", "Møtereferat.pdf")
    return await _download(export_client, empty_folder, env, include_attachments=True)


async def _download(
    export_client: ExportClient, empty_folder: Path, env: dict[str, str], **fields: object
) -> DownloadedFile:
    report = await export_report_file(export_client, **fields)
    path = empty_folder / report.job["file"]["name"]
    path.write_bytes(report.content)
    return DownloadedFile(report.job, path, env)


async def test_bundle_is_compared_with_its_manifest_and_its_record(bundle: DownloadedFile) -> None:
    result = (await bundle.verify()).require_success()
    assert "2 files match the manifest" in result.stdout
    assert f"matches the record of export {bundle.job['id']}" in result.stdout
    report = (await bundle.verify("--json")).require_success().json
    assert (report["findings"], report["matches_record"], report["member_count"]) == ([], True, 2)
    assert report["sha256"] == bundle.job["file"]["sha256"]


async def test_bundle_can_be_verified_without_the_api(bundle: DownloadedFile) -> None:
    result = (await bundle.verify(with_api=False)).require_success()
    assert "not compared with the export's record" in result.stdout
    bundle.env["STAFETT_API_URL"] = "http://127.0.0.1:9"
    assert "it is unavailable" in (await bundle.verify()).require_success().stdout


async def test_changed_attachment_and_changed_bundle_are_reported(bundle: DownloadedFile) -> None:
    bundle.tamper("Møtereferat", b"%PDF REFERAT")
    result = await bundle.verify()
    assert (result.exit_code, result.stderr) == (1, "")
    changed, *recorded = result.stdout.splitlines()
    assert changed.endswith("-1-Møtereferat.pdf does not match the SHA-256 in the manifest.")
    assert recorded[-1] == f"The SHA-256 differs from the one in the record of export {bundle.job['id']}."


async def test_repacked_bundle_matches_its_manifest_but_not_its_record(bundle: DownloadedFile) -> None:
    bundle.tamper("nothing", b"")
    assert (await bundle.verify(with_api=False)).exit_code == 0
    assert (await bundle.verify()).exit_code == 1


async def test_truncated_bundle_is_reported_as_damaged(bundle: DownloadedFile) -> None:
    bundle.path.write_bytes(bundle.path.read_bytes()[:-100])
    result = await bundle.verify()
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == "Not a ZIP file, or damaged.\n"


async def test_report_without_a_bundle_is_compared_with_the_given_export(
    export_client: ExportClient, activity_factory: ActivityFactory, empty_folder: Path, env: dict[str, str]
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    report = await _download(export_client, empty_folder, env)
    (await report.verify()).assert_one_line_error("--id")
    (await report.verify("--id", report.job["id"])).require_success()
    report.path.write_bytes(report.path.read_bytes() + b"\r\n")
    result = await report.verify("--id", report.job["id"])
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)


async def test_bundle_of_another_export_does_not_match_the_given_export(
    bundle: DownloadedFile, export_client: ExportClient
) -> None:
    other = (await export_report_file(export_client, include_attachments=True)).job
    result = await bundle.verify("--id", other["id"])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == f"The bundle belongs to export {bundle.job['id']}."


async def test_file_of_a_deleted_export_is_compared_with_the_history(
    bundle: DownloadedFile, tenant: Tenant, tokens: Tokens
) -> None:
    token = tokens.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin")
    export_id, report_id = bundle.job["id"], bundle.job["report_id"]
    env = bundle.env | {"STAFETT_TOKEN": token}
    (await run_stafett("export", "delete", export_id, "--yes", env=env)).require_success()
    for options in ((), ("--id", export_id.upper()), ("--id", export_id[:8])):
        verified = (await bundle.verify(*options)).require_success().stdout
        assert re.search(
            rf"  is the file of version 1 of report {report_id}, deleted on \d\d\.\d\d\.\d{{4}} \d\d:\d\d; unchanged\n",
            verified,
        ), verified
    report = (await bundle.verify("--json")).require_success().json
    assert (report["matches_record"], report["report_id"], report["version"]) == (True, report_id, 1)
    assert report["removed_at"] is not None
    bundle.tamper("nothing", b"")
    changed = await bundle.verify()
    assert changed.exit_code == 1
    assert f"the history of version 1 of report {report_id}." in changed.stdout


async def test_file_of_an_export_that_neither_exists_nor_has_a_report_is_not_found(bundle: DownloadedFile) -> None:
    (await bundle.verify("--id", str(uuid4()))).assert_one_line_error("There is no such export.")


async def test_missing_file_is_a_one_line_error(empty_folder: Path) -> None:
    (await run_stafett("export", "verify", empty_folder / "none.zip")).assert_one_line_error("none.zip")


async def test_reexported_bundle_matches_both_exports(bundle: DownloadedFile, export_client: ExportClient) -> None:
    job = await ReexportClient(export_client).complete_reexport(bundle.job["report_id"], source="same_snapshot")
    assert job["file"] == bundle.job["file"]
    (await bundle.verify("--id", job["export_id"])).require_success()
    (await bundle.verify("--id", bundle.job["id"])).require_success()
