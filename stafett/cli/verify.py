"""``stafett export verify``: whether a file is what was exported."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

from stafett.cli.client import ApiUnavailableError, Json, find_job
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption
from stafett.domain.errors import StafettError

_REPORT_SUFFIXES = {".csv", ".xlsx"}
_NOT_COMPARED = (
    "it was not held against the export's record: no API was named (--data-dir, STAFETT_*), or none answered"
)


class DownloadVerification(BaseModel):
    """What was found; nothing in ``findings`` is good."""

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
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A downloaded bundle (.zip), or a .csv or .xlsx.")],
    export_id: Annotated[str | None, typer.Option("--id", help="The export's id; a bundle knows its own.")] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: Annotated[str | None, typer.Option("--user", help="Who asks, on a development stack.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a downloaded file against its manifest and the export's record; exit code 1 if something differs."""

    def load_export(requested_id: str) -> Json:
        return find_job(data_dir, user, org, "bufdir-exports", requested_id)[1]

    is_told = data_dir is not None or {"STAFETT_API_URL", "STAFETT_TOKEN"} <= os.environ.keys()
    found = verify_file(file, export_id, load_export if is_told or export_id else None)
    typer.echo(found.model_dump_json() if as_json else "\n".join(found.findings or _format_success(found)))
    if found.findings:
        raise typer.Exit(1)


def verify_file(file: Path, export_id: str | None, load_export: Callable[[str], Json] | None) -> DownloadVerification:
    """Everything that is wrong with a file; without ``record`` only what it says itself."""
    from stafett.attachment_bundler.verification import verify_bundle

    size, sha256 = _measure_file(file)
    is_single = file.suffix.lower() in _REPORT_SUFFIXES
    if is_single and export_id is None:
        raise StafettError("A report on its own does not know its export: say which one with --id.")
    manifest, findings = (None, []) if is_single else verify_bundle(file)
    own_id = str(manifest.export_id) if manifest else None
    wanted, is_as_recorded = export_id or own_id, None
    if wanted and load_export:
        differences = _compare_with_record(wanted, size, sha256, load_export, is_required=export_id is not None)
        is_as_recorded = None if differences is None else not differences
        findings += differences or []
    if own_id and wanted and wanted.lower() != own_id and not is_as_recorded:  # one that repeats another is that one's
        findings.insert(0, f"It is a bundle of export {own_id}.")
    return DownloadVerification(
        path=str(file),
        size_bytes=size,
        sha256=sha256,
        export_id=wanted,
        member_count=len(manifest.members) if manifest else None,
        missing_count=sum(member.missing for member in manifest.members) if manifest else 0,
        matches_record=is_as_recorded,
        findings=tuple(findings),
    )


def _measure_file(file: Path) -> tuple[int, str]:
    try:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            return content.tell(), sha256
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None


def _compare_with_record(
    export_id: str, size: int, sha256: str, load_export: Callable[[str], Json], *, is_required: bool
) -> list[str] | None:
    """None if nobody answered, and nobody was asked for by name."""
    try:
        file = load_export(export_id)["file"]
    except ApiUnavailableError:
        if is_required:
            raise
        return None
    if file is None:
        return [f"Export {export_id} has no file."]
    differences = []
    if size != file["size_bytes"]:
        differences.append(f"It has {size} bytes, and {file['size_bytes']} in the record of export {export_id}.")
    if sha256 != file["sha256"]:
        differences.append(f"Its SHA-256 is not the one in the record of export {export_id}.")
    return differences


def _format_success(verification: DownloadVerification) -> list[str]:
    lines = [f"{verification.path}: {verification.size_bytes} bytes, SHA-256 {verification.sha256}"]
    if verification.member_count is not None:
        lines.append(f"  its {verification.member_count - verification.missing_count} files are as its manifest says")
    if verification.missing_count:
        lines.append(f"  {verification.missing_count} attachments are not in it, as its manifest says")
    told = f"  it is the file of export {verification.export_id}"
    return [*lines, told if verification.matches_record else f"  {_NOT_COMPARED}"]
