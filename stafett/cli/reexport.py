"""``stafett reexport``: commands for re-exports."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, ApiError, Json, connect, find_job
from stafett.cli.jobs import EXIT_WITHOUT_FILE, WatchOption, download_job_file, format_created_at, print_result
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.terminal import make_console, make_table, print_json
from stafett.cli.watch import watch_job
from stafett.domain.reexport_status import ReexportStatus

app = typer.Typer(name="reexport", help="Re-export a past report.", no_args_is_help=True)

_RESOURCE = "report-reexports"
ReexportIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the re-export.")]


@app.command()
def start(
    report_id: Annotated[str, typer.Argument(metavar="REPORT", help="Id of the report: `report_id` of its export.")],
    source: Annotated[
        str, typer.Option(help="current_data, or same_snapshot to repeat a version of the report byte for byte.")
    ] = "current_data",
    version: Annotated[int, typer.Option(min=1, help="Version of the report that same_snapshot repeats.")] = 1,
    reason: Annotated[str | None, typer.Option(help="Reason, stored in the report's history.")] = None,
    export_format: Annotated[
        str | None, typer.Option("--format", help="File format: csv or xlsx. Default: unchanged.")
    ] = None,
    locale: Annotated[str | None, typer.Option(help="Language: nb, nn or en. Default: unchanged.")] = None,
    csv_profile: Annotated[str | None, typer.Option(help="CSV dialect: excel or machine. Default: unchanged.")] = None,
    include_attachments: Annotated[
        bool | None,
        typer.Option(
            "--attachments/--no-attachments",
            help="Bundle the report with its attachments in a ZIP file, or not. Default: unchanged.",
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key returns the same re-export.")] = None,
    watch: WatchOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a re-export of a report and print its id. Only one re-export per report runs at a time."""
    api = _connect_for_report(data_dir, user, org, report_id)
    overrides: dict[str, Any] = {
        "export_format": export_format,
        "locale": locale,
        "csv_profile": csv_profile,
        "include_attachments": include_attachments,
    }
    body: dict[str, Any] = {"report_id": report_id, "source": source, "version": version, "reason": reason}
    body["overrides"] = {name: value for name, value in overrides.items() if value is not None}
    job = api.post(f"/{_RESOURCE}", body, idempotency_key=key or str(uuid4()))
    if watch:
        _exit_with_outcome(watch_job(api, f"/{_RESOURCE}/{job['id']}", quiet=as_json), as_json)
    else:
        hint = f"Follow it with `stafett reexport watch {job['id']}`."
        print_result(job, as_json, f"Re-export {job['id']} accepted. {hint}")


@app.command(name="list")
def list_reexports(
    org: OptionalOrgOption = None,
    report_id: Annotated[str | None, typer.Option("--report", help="Only re-exports of this report.")] = None,
    status: Annotated[str | None, typer.Option(help="Only re-exports with this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Maximum number of re-exports.")] = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List re-exports, newest first."""
    filters = (("org_id", org), ("report_id", report_id), ("status", status))
    query: dict[str, str | int] = {"page_size": limit} | {name: value for name, value in filters if value is not None}
    page = connect(data_dir, user, org).get(f"/{_RESOURCE}", query)
    if as_json:
        print_json(page)
        return
    table = make_table("id", "organisation", "report", "source", "status", "version", "created")
    for job in page["items"]:
        version = "" if job["file_version"] is None else str(job["file_version"])
        row = (job["org_id"], job["report_id"], job["source"], job["status"], version)
        table.add_row(job["id"], *row, format_created_at(job))
    make_console().print(table)


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
    """Wait for a re-export to finish and show its progress. Exit code 3 if it failed or was cancelled."""
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
    """Cancel a re-export and its export. The report's history is not changed."""
    api, job = find_job(data_dir, user, org, _RESOURCE, reexport_id)
    job = api.delete_action(f"/{_RESOURCE}/{job['id']}")
    print_result(
        job, as_json, f"Re-export {job['id']} is {job['status']}. It has stopped once its status is cancelled."
    )


@app.command()
def download(
    reexport_id: ReexportIdArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Output file or folder. Default: the current folder.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download the file of a completed re-export and verify its SHA-256."""
    api, job = find_job(data_dir, user, org, _RESOURCE, reexport_id)
    target = download_job_file(api, job, output, force=force, quiet=as_json)
    print_result({"path": str(target), **job["file"]}, as_json, f"{target} ({job['file']['size_bytes']} bytes)")


def _connect_for_report(data_dir: Path | None, user: str | None, org: str | None, report_id: str) -> ApiClient:
    """Connect as a user who may re-export: on a development stack, the coordinator of the report's organisation."""
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
