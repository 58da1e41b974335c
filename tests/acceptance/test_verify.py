"""`stafett export verify`: what was downloaded, and what somebody has made of it."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
import pytest_asyncio

from stafett.settings import S3Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.acceptance.dev_stack import DevStack, Finished, Tokens, run
from tests.acceptance.report_file import exported
from tests.reexports import AgainButton


@dataclass(frozen=True)
class Downloaded:
    """A file of an export, and a terminal that knows the API."""

    job: Json
    path: Path
    env: dict[str, str]

    async def verify(self, *options: str, known: bool = True) -> Finished:
        return await run("export", "verify", self.path, *options, env=self.env if known else {})

    def tamper(self, name: str, content: bytes) -> None:
        """The same ZIP file with another member."""
        whole = self.path.rename(self.path.with_suffix(".before"))
        with ZipFile(whole) as before, ZipFile(self.path, "w") as after:
            for info in before.infolist():
                after.writestr(info.filename, content if name in info.filename else before.read(info))


@pytest.fixture
def env(dev: DevStack, tenant: Tenant, tokens: Tokens) -> dict[str, str]:
    token = tokens.token(tenant.coordinator, tenant.org_id, "coordinator")
    return {"STAFETT_API_URL": dev.facts["api_url"], "STAFETT_TOKEN": token}


@pytest_asyncio.fixture(loop_scope="session")
async def bundle(
    dev: DevStack, button: ExportClient, diary: ActivityFactory, folder: Path, env: dict[str, str]
) -> Downloaded:
    facts = dev.facts
    keys = {"access_key": facts["s3_access_key"], "secret_key": facts["s3_secret_key"]}
    s3 = S3Settings.model_validate({"endpoint": facts["s3_endpoint"], "bucket": facts["s3_bucket"], **keys})
    activity = diary.create_activity(diary.create_mentor())
    diary.create_attachment(FileStorage(s3), activity, b"%PDF referat", "Møtereferat.pdf")
    return await _downloaded(button, folder, env, include_attachments=True)


async def _downloaded(button: ExportClient, folder: Path, env: dict[str, str], **asked: object) -> Downloaded:
    report = await exported(button, **asked)
    path = folder / report.job["file"]["name"]
    path.write_bytes(report.content)
    return Downloaded(report.job, path, env)


async def test_a_bundle_is_held_against_its_manifest_and_its_record(bundle: Downloaded) -> None:
    told = (await bundle.verify()).done()
    assert "its 2 files are as its manifest says" in told.out
    assert f"it is the file of export {bundle.job['id']}" in told.out
    found = (await bundle.verify("--json")).done().json
    assert (found["findings"], found["is_as_recorded"], found["members"]) == ([], True, 2)
    assert found["sha256"] == bundle.job["file"]["sha256"]


async def test_a_bundle_can_be_verified_without_the_api(bundle: Downloaded) -> None:
    told = (await bundle.verify(known=False)).done()
    assert "it was not held against the export's record" in told.out
    bundle.env["STAFETT_API_URL"] = "http://127.0.0.1:9"
    assert "none answered" in (await bundle.verify()).done().out


async def test_a_changed_attachment_is_found_line_by_line(bundle: Downloaded) -> None:
    bundle.tamper("Møtereferat", b"%PDF REFERAT")
    found = await bundle.verify()
    assert (found.code, found.err) == (1, "")
    changed, *recorded = found.out.splitlines()
    assert changed.endswith("-1-Møtereferat.pdf has another SHA-256 than in the manifest.")
    assert recorded[-1] == f"Its SHA-256 is not the one in the record of export {bundle.job['id']}."


async def test_a_bundle_that_was_only_packed_anew_is_not_the_file_that_was_exported(bundle: Downloaded) -> None:
    bundle.tamper("nothing", b"")
    assert (await bundle.verify(known=False)).code == 0
    assert (await bundle.verify()).code == 1


async def test_half_a_bundle_is_said_to_be_damaged(bundle: Downloaded) -> None:
    bundle.path.write_bytes(bundle.path.read_bytes()[:-100])
    found = await bundle.verify()
    assert (found.code, found.err) == (1, "")
    assert found.out == "It is no ZIP file, or a damaged one.\n"


async def test_a_report_on_its_own_is_held_against_the_export_that_is_named(
    button: ExportClient, diary: ActivityFactory, folder: Path, env: dict[str, str]
) -> None:
    diary.create_activity(diary.create_mentor())
    report = await _downloaded(button, folder, env)
    (await report.verify()).refused_in_a_sentence("--id")
    (await report.verify("--id", report.job["id"])).done()
    report.path.write_bytes(report.path.read_bytes() + b"\r\n")
    found = await report.verify("--id", report.job["id"])
    assert (found.code, len(found.out.splitlines())) == (1, 2)


async def test_a_bundle_of_another_export_is_told_from_the_one_that_is_named(
    bundle: Downloaded, button: ExportClient
) -> None:
    other = (await exported(button, include_attachments=True)).job
    found = await bundle.verify("--id", other["id"])
    assert found.code == 1
    assert found.out.splitlines()[0] == f"It is a bundle of export {bundle.job['id']}."


async def test_a_file_that_is_not_there_is_said_in_a_sentence(folder: Path) -> None:
    (await run("export", "verify", folder / "none.zip")).refused_in_a_sentence("none.zip")


async def test_a_bundle_that_was_made_again_is_the_one_it_repeats(bundle: Downloaded, button: ExportClient) -> None:
    job = await AgainButton(button).done(bundle.job["report_id"], source="same_snapshot")
    assert job["file"] == bundle.job["file"]
    (await bundle.verify("--id", job["export_id"])).done()
    (await bundle.verify("--id", bundle.job["id"])).done()
