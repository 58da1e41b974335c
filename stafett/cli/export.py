"""``stafett export``: commands for exports."""

from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from stafett.cli.client import Json, connect, find_job
from stafett.cli.deviations import print_deviations, read_deviations
from stafett.cli.jobs import JobCommands, WatchOption, describe_result, format_created_at, format_period
from stafett.cli.options import (
    ConfirmHandedInOption,
    DataDirOption,
    JsonOption,
    OptionalOrgOption,
    OrgOption,
    PeriodEndOption,
    PeriodStartOption,
    UserOption,
)
from stafett.cli.terminal import print_json, print_lines
from stafett.domain.export_status import ExportStatus

app = typer.Typer(name="export", help="Export activities as reports for Bufdir.", no_args_is_help=True)


def _describe(job: Json) -> list[str]:
    lines = [
        f"Export {job['id']}",
        f"  {job['org_id']}, {format_period(job)}, {job['export_format']}",
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
        hint = f"`stafett export deviations {job['id']}` lists every row"
        lines.append(f"  {job['partial_failure_count']} partial failures; {hint}")
    return lines + describe_result(job)


_EXPORTS = JobCommands(
    command="export",
    noun="export",
    resource="bufdir-exports",
    success_statuses={ExportStatus.COMPLETED, ExportStatus.COMPLETED_EMPTY},
    columns={
        "id": lambda job: job["id"],
        "organisation": lambda job: job["org_id"],
        "period": format_period,
        "format": lambda job: job["export_format"],
        "status": lambda job: job["status"],
        "rows": lambda job: job["row_count"],
        "created": format_created_at,
    },
    describe=_describe,
    cancel_request=("PUT", "/cancel"),
)


@app.command()
def deviations(
    export_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the export.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Save the CSV file here instead of printing a table.")
    ] = "",
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the activities that were rejected, do not count or have a warning, and how to correct them."""
    api, job = find_job(data_dir, user, org, "bufdir-exports", export_id)
    content = api.get_bytes(f"/bufdir-exports/{job['id']}/deviations.csv")
    if output:
        Path(output).write_bytes(content)
        print_lines(output)
        return
    rows = read_deviations(content)
    if as_json:
        print_json({"items": rows})
    else:
        print_deviations(rows)


@app.command()
def delete(
    export_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the export.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not prompt for confirmation.")] = False,
    confirm_handed_in: ConfirmHandedInOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
) -> None:
    """Delete a finished export and its files (admins only). Its audit trail and its entry in the history stay.

    If its file was handed in to Bufdir, this needs a confirmation of its own.
    """
    api, job = find_job(data_dir, user, org, "bufdir-exports", export_id, role="admin")
    _EXPORTS.confirm_and_delete(api, job, yes=yes, confirm_handed_in=confirm_handed_in)


@app.command()
def start(
    org: OrgOption,
    period_start: PeriodStartOption,
    period_end: PeriodEndOption,
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
    _EXPORTS.follow(api, job, as_json, watch=watch)


_EXPORTS.register(
    app,
    {
        "list_jobs": "List exports, newest first.",
        "show": "Show one export.",
        "watch": "Wait for an export to finish and show its progress. Exit code 3 if it failed or was cancelled.",
        "cancel": "Cancel an export and remove its files from storage.",
        "retry": "Retry a failed or cancelled export. A failed export reuses its finished stages.",
        "download": "Download the file of a finished export and verify its SHA-256.",
    },
)
