"""``stafett export verify``: compare a downloaded file with its manifest, and with its export or the history."""

import hashlib
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import UUID

import typer
from pydantic import BaseModel, ConfigDict

from stafett.cli.client import ApiError, ApiUnavailableError, Json
from stafett.cli.credentials import read_token
from stafett.cli.formats import format_time
from stafett.cli.jobs import print_result
from stafett.cli.lookup import connect_to_organisations, find_job, is_whole_id, iterate_pages
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption
from stafett.domain.errors import StafettError

_REPORT_SUFFIXES = {".csv", ".xlsx"}
_NOT_COMPARED = (
    "not compared with the export's record: no API is configured (--data-dir, STAFETT_*), or it is unavailable"
)


class RemovedVersion(NamedTuple):
    """A version of a report whose file is no longer stored."""

    report_id: str
    version: int
    removed_at: str

    def describe(self) -> str:
        return f"version {self.version} of report {self.report_id}"


class RecordedFile(NamedTuple):
    """The file that an export made, as the export or, once it is deleted, the history of reports has recorded it."""

    export_id: str
    file: Json | None
    removed_version: RemovedVersion | None = None

    def describe(self) -> str:
        """Name the record in a sentence."""
        if self.removed_version:
            return f"the history of {self.removed_version.describe()}"
        return f"the record of export {self.export_id}"


LoadRecord = Callable[[str], RecordedFile]


class DownloadVerification(BaseModel):
    """The result of a verification; without findings, no difference was found."""

    model_config = ConfigDict(frozen=True)

    path: str
    size_bytes: int
    sha256: str
    export_id: str | None
    member_count: int | None
    missing_count: int
    matches_record: bool | None
    report_id: str | None = None
    version: int | None = None
    removed_at: str | None = None
    """When the recorded file was removed from storage, and which version of which report it was."""

    findings: tuple[str, ...]


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Downloaded bundle (.zip) or report (.csv, .xlsx).")],
    export_id: Annotated[
        str | None, typer.Option("--id", help="Id of the export. Default: the one in a bundle's manifest.")
    ] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: Annotated[
        str | None,
        typer.Option("--user", is_eager=True, help="Development stack only: email address of the user to act as."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a downloaded file against its manifest and the export's record. Exit code 1 if anything differs.

    The file of a deleted export is compared with the history of reports, which has the hashes of every version.
    """

    def load_record(requested_id: str) -> RecordedFile:
        return _load_record(data_dir, user, org, requested_id)

    has_api = data_dir is not None or ("STAFETT_API_URL" in os.environ and read_token() is not None)
    result = verify_file(file, export_id, load_record if has_api or export_id else None)
    print_result(result.model_dump(mode="json"), as_json, *(result.findings or _format_success(result)))
    if result.findings:
        raise typer.Exit(1)


def _load_record(data_dir: Path | None, user: str | None, org: str | None, export_id: str) -> RecordedFile:
    try:
        _, export = find_job(data_dir, user, org, "bufdir-exports", export_id)
        record = RecordedFile(export["id"], export["file"])
        return record if record.file else _find_removed_file(data_dir, user, org, record.export_id) or record
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND and (removed := _find_removed_file(data_dir, user, org, export_id)):
            return removed
        raise


def _find_removed_file(data_dir: Path | None, user: str | None, org: str | None, export_id: str) -> RecordedFile | None:
    """Find the file of an export in the history of reports, by its id or the first characters of it."""
    query = {"export_id": export_id} if is_whole_id(export_id) else {}
    digits = export_id.lower().replace("-", "")
    for api in connect_to_organisations(data_dir, user, org):
        try:
            reports = list(iterate_pages(api, "/reports", query))
        except ApiUnavailableError:
            raise
        except ApiError:
            continue  # an operator reads no reports
        found = [
            (report, file)
            for report in reports
            for file in report["files"]
            if UUID(file["export_id"]).hex.startswith(digits)
        ]
        if len(found) > 1:
            raise StafettError(f"{len(found)} ids start with {export_id}; type more characters of the one you mean.")
        for report, file in found:
            removed = RemovedVersion(report["id"], file["version"], file["removed_at"])
            return RecordedFile(file["export_id"], file["produced_file"], removed)
    return None


def verify_file(file: Path, export_id: str | None, load_record: LoadRecord | None) -> DownloadVerification:
    """Verify a file; without ``load_record``, compare a bundle with its own manifest only."""
    from stafett.attachment_bundler.verification import verify_bundle

    size, sha256 = _measure_file(file)
    is_report = file.suffix.lower() in _REPORT_SUFFIXES
    if is_report and export_id is None:
        raise StafettError("A report file does not contain the id of its export; specify it with --id.")
    manifest, findings = (None, []) if is_report else verify_bundle(file)
    bundle_id = str(manifest.export_id) if manifest else None
    expected_id, matches_record, removed = export_id or bundle_id, None, None
    record = _load_if_available(expected_id, load_record, is_required=export_id is not None)
    if record:
        expected_id, removed = record.export_id, record.removed_version
        differences = _compare_with_record(record, file.suffix, size, sha256)
        matches_record = not differences
        findings += differences
    # The file of a re-export with the same snapshot names the export that it repeats.
    if bundle_id and expected_id and expected_id.lower() != bundle_id and not matches_record:
        findings.insert(0, f"The bundle belongs to export {bundle_id}.")
    return DownloadVerification(
        path=str(file),
        size_bytes=size,
        sha256=sha256,
        export_id=expected_id,
        member_count=len(manifest.members) if manifest else None,
        missing_count=sum(member.missing for member in manifest.members) if manifest else 0,
        matches_record=matches_record,
        **(removed._asdict() if removed else {}),
        findings=tuple(findings),
    )


def _measure_file(file: Path) -> tuple[int, str]:
    try:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            return content.seek(0, os.SEEK_END), sha256
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None


def _load_if_available(
    export_id: str | None, load_record: LoadRecord | None, *, is_required: bool
) -> RecordedFile | None:
    """Load the record, if there is an API; raise if it is unavailable and the record is required."""
    if export_id is None or load_record is None:
        return None
    try:
        return load_record(export_id)
    except ApiUnavailableError:
        if is_required:
            raise
        return None


def _compare_with_record(record: RecordedFile, suffix: str, size: int, sha256: str) -> list[str]:
    """List the differences."""
    if record.file is None:
        return [f"Export {record.export_id} has no file."]
    name = record.file["name"]
    if suffix.lower() in _REPORT_SUFFIXES and name.endswith(".zip"):
        return [f"Export {record.export_id} made the bundle {name}: verify the bundle, not a file taken out of it."]
    differences = []
    if size != record.file["size_bytes"]:
        differences.append(f"The size is {size} bytes, and {record.file['size_bytes']} in {record.describe()}.")
    if sha256 != record.file["sha256"]:
        differences.append(f"The SHA-256 differs from the one in {record.describe()}.")
    return differences


def _format_success(verification: DownloadVerification) -> list[str]:
    lines = [f"{verification.path}: {verification.size_bytes} bytes, SHA-256 {verification.sha256}"]
    if verification.member_count is not None:
        lines.append(f"  {verification.member_count - verification.missing_count} files match the manifest")
    if verification.missing_count:
        lines.append(f"  {verification.missing_count} attachments are missing, as recorded in the manifest")
    return [*lines, f"  {_describe_match(verification)}"]


def _describe_match(verification: DownloadVerification) -> str:
    if not verification.matches_record:
        return _NOT_COMPARED
    if verification.removed_at is None:
        return f"matches the record of export {verification.export_id}"
    version = f"version {verification.version} of report {verification.report_id}"
    return f"is the file of {version}, deleted on {format_time(verification.removed_at)}; unchanged"
