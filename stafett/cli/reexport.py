"""``stafett reexport``: a past report made again, from a terminal."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, ApiError, Json, connect, find_job
from stafett.cli.jobs import EXIT_WITHOUT_FILE, WatchOption, download_job_file, format_created_at, print_result
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.terminal import make_console, make_table
from stafett.cli.watch import watch_job
from stafett.domain.reexport_status import ReexportStatus

app = typer.Typer(name="reexport", help="Make a past report again.", no_args_is_help=True)

_RESOURCE = "report-reexports"
ReexportIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The re-export's id.")]


@app.command()
def start(
    report_id: Annotated[str, typer.Argument(metavar="REPORT", help="The report's id: `report_id` of its export.")],
    source: Annotated[str, typer.Option(help="current_data, or same_snapshot for the same bytes.")] = "current_data",
    version: Annotated[int, typer.Option(min=1, help="Which version same_snapshot repeats.")] = 1,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the history.")] = None,
    export_format: Annotated[str | None, typer.Option("--format", help="csv or xlsx; else as it was.")] = None,
    locale: Annotated[str | None, typer.Option(help="nb, nn or en; else as it was.")] = None,
    csv_profile: Annotated[str | None, typer.Option(help="excel or machine; else as it was.")] = None,
    include_attachments: Annotated[
        bool | None, typer.Option("--attachments/--no-attachments", help="Bundle the attachments; else as it was.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key is the same re-export.")] = None,
    watch: WatchOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a report made again, and say the job's id. One runs at a time for each report."""
    api = _connect_for_report(data_dir, user, org, report_id)
    overrides: dict[str, Any] = {
        "export_format": export_format,
        "locale": locale,
        "csv_profile": csv_profile,
        "include_attachments": include_attachments,
    }
    asked: dict[str, Any] = {"report_id": report_id, "source": source, "version": version, "reason": reason}
    asked["overrides"] = {name: value for name, value in overrides.items() if value is not None}
    job = api.post(f"/{_RESOURCE}", asked, idempotency_key=key or str(uuid4()))
    if watch:
        _exit_with_outcome(watch_job(api, f"/{_RESOURCE}/{job['id']}", quiet=as_json), as_json)
    else:
        follow = f"follow it with `stafett reexport watch {job['id']}`"
        print_result(job, as_json, f"Re-export {job['id']} is accepted; {follow}.")


@app.command(name="list")
def list_reexports(
    org: OptionalOrgOption = None,
    report_id: Annotated[str | None, typer.Option("--report", help="Only those of this report.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many at most.")] = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List re-exports, newest first."""
    filters = (("org_id", org), ("report_id", report_id), ("status", status))
    wanted: dict[str, str | int] = {"page_size": limit} | {name: value for name, value in filters if value is not None}
    page = connect(data_dir, user, org).get(f"/{_RESOURCE}", wanted)
    if as_json:
        typer.echo(json.dumps(page, ensure_ascii=False))
        return
    shown = make_table("id", "organisation", "report", "source", "status", "version", "created")
    for job in page["items"]:
        number = "" if job["file_version"] is None else str(job["file_version"])
        row = (job["org_id"], job["report_id"], job["source"], job["status"], number)
        shown.add_row(job["id"], *row, format_created_at(job))
    make_console().print(shown)


@app.command()
def show(
    reexport_id: ReexportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one re-export."""
    _, job = find_job(data_dir, user, org, _RESOURCE, reexport_id)
    print_result(job, as_json, *_format_reexport(job))


@app.command()
def watch(
    reexport_id: ReexportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait for a re-export's end, with a progress bar; exit code 3 if it ends without a file."""
    api, job = find_job(data_dir, user, org, _RESOURCE, reexport_id)
    _exit_with_outcome(watch_job(api, f"/{_RESOURCE}/{job['id']}", quiet=as_json), as_json)


@app.command()
def cancel(
    reexport_id: ReexportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a re-export and its export; the history is as it was."""
    api, job = find_job(data_dir, user, org, _RESOURCE, reexport_id)
    job = api.delete_action(f"/{_RESOURCE}/{job['id']}")
    print_result(job, as_json, f"Re-export {job['id']} is {job['status']}; it has stopped when it is cancelled.")


@app.command()
def download(
    reexport_id: ReexportIdArgument,
    output: Annotated[str, typer.Option("--output", "-o", help="A file or a folder; else here.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download the file of a completed re-export and hold it against its SHA-256."""
    api, job = find_job(data_dir, user, org, _RESOURCE, reexport_id)
    target = download_job_file(api, job, output, force=force, quiet=as_json)
    print_result({"path": str(target), **job["file"]}, as_json, f"{target} ({job['file']['size_bytes']} bytes)")


def _connect_for_report(data_dir: Path | None, user: str | None, org: str | None, report_id: str) -> ApiClient:
    """The API as somebody who may: on a development stack, the coordinator of whichever organisation it is."""
    api = connect(data_dir, user, org)
    if data_dir is None or user or org:
        return api
    from stafett.seed.organisations import ORGANISATIONS

    for candidate in ORGANISATIONS:
        with suppress(ApiError):
            api = connect(data_dir, None, candidate)
            api.get(f"/reports/{report_id}")
            break
    return api


def _exit_with_outcome(job: Json, as_json: bool) -> None:
    print_result(job, as_json, *_format_reexport(job))
    if job["status"] != ReexportStatus.COMPLETED:
        raise typer.Exit(EXIT_WITHOUT_FILE)


def _format_reexport(job: Json) -> list[str]:
    lines = [f"Re-export {job['id']}", f"  {job['org_id']}, report {job['report_id']}, {job['source']}"]
    lines.append(f"  {job['status']}")
    if job["label"]:
        lines.append(f"  {job['label']}")
    if job["file"]:
        lines.append(f"  version {job['file_version']} of the report")
        lines.append(f"  {job['file']['name']}, {job['file']['size_bytes']} bytes, SHA-256 {job['file']['sha256']}")
    if job["error"]:
        lines.append(f"  {job['error']['message']} ({job['error']['code']})")
    return lines
