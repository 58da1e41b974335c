"""``stafett export``: commands for exports."""

from typing import Annotated
from uuid import uuid4

import typer

from stafett.cli.client import Json, connect, find_job
from stafett.cli.jobs import EXIT_WITHOUT_FILE, WatchOption, download_job_file, format_created_at, print_result
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, OrgOption, UserOption
from stafett.cli.terminal import make_console, make_table, print_json, print_lines, require_confirmation
from stafett.cli.watch import watch_job
from stafett.domain.export_status import ExportStatus

app = typer.Typer(name="export", help="Export activities as reports for Bufdir.", no_args_is_help=True)

_SUCCESS_STATUSES = {ExportStatus.COMPLETED, ExportStatus.COMPLETED_EMPTY}

ExportIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the export.")]


@app.command()
def start(
    org: OrgOption,
    period_start: Annotated[
        str, typer.Option("--start", "--from", help="First day of the period (2026-01-01), or an RFC 3339 time.")
    ],
    period_end: Annotated[
        str, typer.Option("--end", "--to", help="Last day of the period (inclusive), or an RFC 3339 time.")
    ],
    export_format: Annotated[str, typer.Option("--format", help="File format: csv or xlsx.")] = "csv",
    locale: Annotated[str, typer.Option(help="Language of the report: nb, nn or en.")] = "nb",
    csv_profile: Annotated[str, typer.Option(help="CSV dialect: excel (Norwegian Excel) or machine.")] = "excel",
    include_attachments: Annotated[
        bool, typer.Option("--attachments", help="Bundle the report with its attachments in a ZIP file.")
    ] = False,
    fail_on_empty: Annotated[
        bool, typer.Option("--fail-on-empty", help="Fail if the period has no activities.")
    ] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key returns the same export.")] = None,
    watch: WatchOption = False,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start an export and print its id."""
    api = connect(data_dir, user, org)
    body = {
        "org_id": org,
        "reporting_period": {"start": period_start, "end": period_end},
        "export_format": export_format,
        "locale": locale,
        "csv_profile": csv_profile,
        "include_attachments": include_attachments,
        "fail_on_empty": fail_on_empty,
    }
    job = api.post("/bufdir-exports", body, idempotency_key=key or str(uuid4()))
    if watch:
        _exit_with_outcome(watch_job(api, f"/bufdir-exports/{job['id']}", quiet=as_json), as_json)
    else:
        print_result(job, as_json, f"Export {job['id']} accepted. Follow it with `stafett export watch {job['id']}`.")


@app.command(name="list")
def list_exports(
    org: OptionalOrgOption = None,
    status: Annotated[str | None, typer.Option(help="Only exports with this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Maximum number of exports.")] = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List exports, newest first."""
    query: dict[str, str | int] = {"page_size": limit}
    query |= {name: value for name, value in (("org_id", org), ("status", status)) if value is not None}
    page = connect(data_dir, user, org).get("/bufdir-exports", query)
    if as_json:
        print_json(page)
        return
    table = make_table("id", "organisation", "period", "format", "status", "rows", "created")
    for job in page["items"]:
        table.add_row(
            job["id"],
            job["org_id"],
            _format_period(job),
            job["export_format"],
            job["status"],
            "" if job["row_count"] is None else str(job["row_count"]),
            format_created_at(job),
        )
    make_console().print(table)


@app.command()
def show(
    export_id: ExportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one export."""
    _, job = find_job(data_dir, user, org, "bufdir-exports", export_id)
    print_result(job, as_json, *_format_export(job))


@app.command()
def watch(
    export_id: ExportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait for an export to finish and show its progress. Exit code 3 if it failed or was cancelled."""
    api, job = find_job(data_dir, user, org, "bufdir-exports", export_id)
    _exit_with_outcome(watch_job(api, f"/bufdir-exports/{job['id']}", quiet=as_json), as_json)


@app.command()
def cancel(
    export_id: ExportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel an export and remove its files from storage."""
    api, job = find_job(data_dir, user, org, "bufdir-exports", export_id)
    job = api.put_action(f"/bufdir-exports/{job['id']}/cancel")
    print_result(job, as_json, f"Export {job['id']} is {job['status']}. It has stopped once its status is cancelled.")


@app.command()
def retry(
    export_id: ExportIdArgument,
    watch: WatchOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Retry a failed or cancelled export. A failed export reuses its finished stages."""
    api, job = find_job(data_dir, user, org, "bufdir-exports", export_id)
    job = api.post(f"/bufdir-exports/{job['id']}/retry", {}, idempotency_key=str(uuid4()))
    if watch:
        _exit_with_outcome(watch_job(api, f"/bufdir-exports/{job['id']}", quiet=as_json), as_json)
    else:
        print_result(job, as_json, f"Export {job['id']} is retried: attempt {len(job['attempts'])}.")


@app.command()
def delete(
    export_id: ExportIdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not prompt for confirmation.")] = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
) -> None:
    """Delete a finished export and its files (admins only). Its audit trail is retained."""
    api, job = find_job(data_dir, user, org, "bufdir-exports", export_id, role="admin")
    if not yes:
        require_confirmation(f"Delete the export of {_format_period(job)} for {job['org_id']}, and its files?")
    api.delete(f"/bufdir-exports/{job['id']}")
    print_lines(f"Export {job['id']} is deleted. Its audit trail is retained.")


@app.command()
def download(
    export_id: ExportIdArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Output file or folder. Default: the current folder.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download the file of a finished export and verify its SHA-256."""
    api, job = find_job(data_dir, user, org, "bufdir-exports", export_id)
    target = download_job_file(api, job, output, force=force, quiet=as_json)
    print_result({"path": str(target), **job["file"]}, as_json, f"{target} ({job['file']['size_bytes']} bytes)")


def _exit_with_outcome(job: Json, as_json: bool) -> None:
    print_result(job, as_json, *_format_export(job))
    if job["status"] not in _SUCCESS_STATUSES:
        raise typer.Exit(EXIT_WITHOUT_FILE)


def _format_period(job: Json) -> str:
    return f"{job['reporting_period']['start']} to {job['reporting_period']['end']}"


def _format_export(job: Json) -> list[str]:
    lines = [
        f"Export {job['id']}",
        f"  {job['org_id']}, {_format_period(job)}, {job['export_format']}",
        f"  {job['status']}",
    ]
    if job["counts"]:
        lines.append("  " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in job["counts"].items()))
    lines += [f"  {warning['message']}" for warning in job["warnings"]]
    lines += [
        f"  not countable: {entry['reason']}: {entry['count']}"
        for entry in job["not_countable"] or ()
        if entry["count"]
    ]
    if job["partial_failure_count"]:
        lines.append(f"  {job['partial_failure_count']} partial failures of single rows; use --json to list them")
    if job["file"]:
        lines.append(f"  {job['file']['name']}, {job['file']['size_bytes']} bytes, SHA-256 {job['file']['sha256']}")
    if job["error"]:
        lines.append(f"  {job['error']['message']} ({job['error']['code']})")
    return lines
