"""``stafett export verify``: whether a file is what was exported."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

from stafett.cli.client import AwayError, Json, find_job
from stafett.cli.options import AsJson, DataDir, MaybeOrg
from stafett.domain.errors import StafettError

_SINGLE_REPORTS = {".csv", ".xlsx"}
_NOT_ASKED = "it was not held against the export's record: no API was named (--data-dir, STAFETT_*), or none answered"


class Examination(BaseModel):
    """What was found; nothing in ``findings`` is good."""

    model_config = ConfigDict(frozen=True)

    path: str
    size_bytes: int
    sha256: str
    export_id: str | None
    members: int | None
    missing: int
    is_as_recorded: bool | None
    findings: tuple[str, ...]


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A downloaded bundle (.zip), or a .csv or .xlsx.")],
    export_id: Annotated[str | None, typer.Option("--id", help="The export's id; a bundle knows its own.")] = None,
    org: MaybeOrg = None,
    data_dir: DataDir = None,
    user: Annotated[str | None, typer.Option("--user", help="Who asks, on a development stack.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a downloaded file against its manifest and the export's record; exit code 1 if something differs."""

    def record(wanted: str) -> Json:
        return find_job(data_dir, user, org, "bufdir-exports", wanted)[1]

    is_told = data_dir is not None or {"STAFETT_API_URL", "STAFETT_TOKEN"} <= os.environ.keys()
    found = examine(file, export_id, record if is_told or export_id else None)
    typer.echo(found.model_dump_json() if as_json else "\n".join(found.findings or _good_news(found)))
    if found.findings:
        raise typer.Exit(1)


def examine(file: Path, export_id: str | None, record: Callable[[str], Json] | None) -> Examination:
    """Everything that is wrong with a file; without ``record`` only what it says itself."""
    from stafett.attachment_bundler.verification import verify_bundle

    size, sha256 = _measured(file)
    is_single = file.suffix.lower() in _SINGLE_REPORTS
    if is_single and export_id is None:
        raise StafettError("A report on its own does not know its export: say which one with --id.")
    manifest, findings = (None, []) if is_single else verify_bundle(file)
    own_id = str(manifest.export_id) if manifest else None
    wanted, is_as_recorded = export_id or own_id, None
    if wanted and record:
        differences = _differences(wanted, size, sha256, record, is_asked_for=export_id is not None)
        is_as_recorded = None if differences is None else not differences
        findings += differences or []
    if own_id and wanted and wanted.lower() != own_id and not is_as_recorded:  # one that repeats another is that one's
        findings.insert(0, f"It is a bundle of export {own_id}.")
    return Examination(
        path=str(file),
        size_bytes=size,
        sha256=sha256,
        export_id=wanted,
        members=len(manifest.members) if manifest else None,
        missing=sum(member.missing for member in manifest.members) if manifest else 0,
        is_as_recorded=is_as_recorded,
        findings=tuple(findings),
    )


def _measured(file: Path) -> tuple[int, str]:
    try:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            return content.tell(), sha256
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None


def _differences(
    export_id: str, size: int, sha256: str, record: Callable[[str], Json], *, is_asked_for: bool
) -> list[str] | None:
    """None if nobody answered, and nobody was asked for by name."""
    try:
        file = record(export_id)["file"]
    except AwayError:
        if is_asked_for:
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


def _good_news(found: Examination) -> list[str]:
    lines = [f"{found.path}: {found.size_bytes} bytes, SHA-256 {found.sha256}"]
    if found.members is not None:
        lines.append(f"  its {found.members - found.missing} files are as its manifest says")
    if found.missing:
        lines.append(f"  {found.missing} attachments are not in it, as its manifest says")
    told = f"  it is the file of export {found.export_id}"
    return [*lines, told if found.is_as_recorded else f"  {_NOT_ASKED}"]
