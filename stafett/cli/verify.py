"""``stafett export verify``: compare a downloaded file with its manifest and its export."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

from stafett.cli.client import ApiUnavailableError, Json, find_job
from stafett.cli.jobs import print_result
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption
from stafett.domain.errors import StafettError

_REPORT_SUFFIXES = {".csv", ".xlsx"}
_NOT_COMPARED = (
    "not compared with the export's record: no API is configured (--data-dir, STAFETT_*), or it is unavailable"
)


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
    findings: tuple[str, ...]


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Downloaded bundle (.zip) or report (.csv, .xlsx).")],
    export_id: Annotated[
        str | None, typer.Option("--id", help="Id of the export. Default: the one in a bundle's manifest.")
    ] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Development stack only: email address of the user to act as.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a downloaded file against its manifest and the export's record. Exit code 1 if anything differs."""

    def load_export(requested_id: str) -> Json:
        return find_job(data_dir, user, org, "bufdir-exports", requested_id)[1]

    has_api = data_dir is not None or {"STAFETT_API_URL", "STAFETT_TOKEN"} <= os.environ.keys()
    result = verify_file(file, export_id, load_export if has_api or export_id else None)
    print_result(result.model_dump(mode="json"), as_json, *(result.findings or _format_success(result)))
    if result.findings:
        raise typer.Exit(1)


def verify_file(file: Path, export_id: str | None, load_export: Callable[[str], Json] | None) -> DownloadVerification:
    """Verify a file; without ``load_export``, compare a bundle with its own manifest only."""
    from stafett.attachment_bundler.verification import verify_bundle

    size, sha256 = _measure_file(file)
    is_report = file.suffix.lower() in _REPORT_SUFFIXES
    if is_report and export_id is None:
        raise StafettError("A report file does not contain the id of its export; specify it with --id.")
    manifest, findings = (None, []) if is_report else verify_bundle(file)
    bundle_id = str(manifest.export_id) if manifest else None
    expected_id, matches_record = export_id or bundle_id, None
    if expected_id and load_export:
        differences = _compare_with_record(
            expected_id, file.suffix, size, sha256, load_export, is_required=export_id is not None
        )
        matches_record = None if differences is None else not differences
        findings += differences or []
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
        findings=tuple(findings),
    )


def _measure_file(file: Path) -> tuple[int, str]:
    try:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            return content.seek(0, os.SEEK_END), sha256
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None


def _compare_with_record(
    export_id: str, suffix: str, size: int, sha256: str, load_export: Callable[[str], Json], *, is_required: bool
) -> list[str] | None:
    """List the differences; None if the API is unavailable and `is_required` is false."""
    try:
        recorded = load_export(export_id)["file"]
    except ApiUnavailableError:
        if is_required:
            raise
        return None
    if recorded is None:
        return [f"Export {export_id} has no file."]
    name = recorded["name"]
    if suffix.lower() in _REPORT_SUFFIXES and name.endswith(".zip"):
        return [f"Export {export_id} made the bundle {name}: verify the bundle, not a file taken out of it."]
    differences = []
    if size != recorded["size_bytes"]:
        differences.append(
            f"The size is {size} bytes, and {recorded['size_bytes']} in the record of export {export_id}."
        )
    if sha256 != recorded["sha256"]:
        differences.append(f"The SHA-256 differs from the one in the record of export {export_id}.")
    return differences


def _format_success(verification: DownloadVerification) -> list[str]:
    lines = [f"{verification.path}: {verification.size_bytes} bytes, SHA-256 {verification.sha256}"]
    if verification.member_count is not None:
        lines.append(f"  {verification.member_count - verification.missing_count} files match the manifest")
    if verification.missing_count:
        lines.append(f"  {verification.missing_count} attachments are missing, as recorded in the manifest")
    match = f"  matches the record of export {verification.export_id}"
    return [*lines, match if verification.matches_record else f"  {_NOT_COMPARED}"]
