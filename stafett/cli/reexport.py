"""``stafett reexport``: commands for re-exports."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, ApiError, Json, connect
from stafett.cli.jobs import (
    JobCommands,
    LimitOption,
    StatusOption,
    WatchOption,
    build_query,
    describe_result,
    format_created_at,
    print_list,
)
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.domain.reexport_status import ReexportStatus

app = typer.Typer(name="reexport", help="Re-export a past report.", no_args_is_help=True)


def _describe(job: Json) -> list[str]:
    lines = [f"Re-export {job['id']}", f"  {job['org_id']}, report {job['report_id']}, {job['source']}"]
    lines.append(f"  {job['status']}")
    if job["label"]:
        lines.append(f"  {job['label']}")
    if job["file"]:
        unchanged = "; nothing has changed since, so no version was added" if job["unchanged"] else ""
        lines.append(f"  version {job['file_version']} of the report{unchanged}")
    return lines + describe_result(job)


_REEXPORTS = JobCommands(
    command="reexport",
    noun="re-export",
    resource="report-reexports",
    success_statuses={ReexportStatus.COMPLETED},
    columns={
        "id": lambda job: job["id"],
        "organisation": lambda job: job["org_id"],
        "report": lambda job: job["report_id"],
        "source": lambda job: job["source"],
        "status": lambda job: job["status"],
        "version": lambda job: job["file_version"],
        "created": format_created_at,
    },
    describe=_describe,
    cancel_request=("DELETE", ""),
)


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
    job = api.post("/report-reexports", body, idempotency_key=key or str(uuid4()))
    _REEXPORTS.follow(api, job, as_json, watch=watch)


@app.command(name="list")
def list_reexports(
    org: OptionalOrgOption = None,
    report_id: Annotated[str | None, typer.Option("--report", help="Only re-exports of this report.")] = None,
    status: StatusOption = None,
    limit: LimitOption = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List re-exports, newest first."""
    query = build_query(org_id=org, report_id=report_id, status=status, page_size=limit)
    print_list(connect(data_dir, user, org).get("/report-reexports", query), as_json, _REEXPORTS.columns)


_REEXPORTS.register(
    app,
    {
        "show": "Show one re-export.",
        "watch": "Wait for a re-export to finish and show its progress. Exit code 3 if it failed or was cancelled.",
        "cancel": "Cancel a re-export and its export. The report's history is not changed.",
        "download": "Download the file of a completed re-export and verify its SHA-256.",
    },
)


def _connect_for_report(data_dir: Path | None, user: str | None, org: str | None, report_id: str) -> ApiClient:
    """Connect as a user who may re-export: on a development stack, the coordinator of the report's organisation."""
    api = connect(data_dir, user, org, is_lookup=True)
    if data_dir is None or user or org:
        return api
    from stafett.seed.organisations import ORGANISATIONS

    for candidate in ORGANISATIONS:
        with suppress(ApiError):
            api = connect(data_dir, None, candidate)
            api.get(f"/reports/{report_id}")
            break
    return api
