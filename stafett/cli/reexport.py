"""``stafett reexport``: commands for re-exports."""

from typing import Annotated, Any
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, ApiError, Json, connect
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_status, format_time, format_words
from stafett.cli.jobs import JobCommands, LimitOption, StatusOption, WatchOption, describe_result
from stafett.cli.lookup import find_data, is_whole_id
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.report import describe_change
from stafett.cli.submission import require_version
from stafett.cli.tables import Column, Details
from stafett.domain.export import CsvProfile, ExportFormat, Locale
from stafett.domain.file_versions import name_version
from stafett.domain.reexport import ReexportSource
from stafett.domain.reexport_status import ReexportStatus

app = typer.Typer(name="reexport", help="Re-export a past report.", no_args_is_help=True)

_OPTIONS = {"/report_id": "REPORT", "/reason": "--reason", "/version": "--version"}


def _summarise(job: Json) -> str:
    return f"{job['org_id']}, {format_words(job['source'])}"


def _describe(job: Json) -> Details:
    source = format_words(job["source"])
    overrides = ", ".join(
        f"{format_words(name)} {value}" for name, value in job["overrides"].items() if value is not None
    )
    details: list[tuple[str, object]] = [
        ("organisation", job["org_id"]),
        ("report", job["report_id"]),
        ("source", f"{source} of version {job['version']}" if job["source"] == "same_snapshot" else source),
        ("status", format_status(job["status"])),
        ("created", format_time(job["created_at"])),
    ]
    optional = {
        "completed": format_time(job["completed_at"]),
        "reason": job["reason"],
        "label": job["label"],
        "overrides": overrides,
        "result": _describe_result_version(job) if job["file"] else None,
        "export": job["export_id"],
    }
    details += [(label, value) for label, value in optional.items() if value]
    return [*details, *describe_result(job)]


def _describe_result_version(job: Json) -> str:
    unchanged = "; nothing has changed since, so no version was added" if job["unchanged"] else ""
    return f"version {job['file_version']} of the report{unchanged}"


def _load_version(api: ApiClient, job: Json) -> Details:
    """Load the version's format and its difference from the one before, which only the report's history has."""
    if job["file_version"] is None:
        return ()
    try:
        report = api.get(f"/reports/{job['report_id']}")
    except ApiError:
        return ()  # an operator sees jobs and no reports
    (version,) = (each for each in report["files"] if each["version"] == job["file_version"])
    export_format = job["overrides"]["export_format"] or report["parameters"]["export_format"]
    change = describe_change(version["change"])
    return [("format", export_format), *([("change", change)] if change else [])]


def find_result_export(api: ApiClient, job: Json) -> str:
    """Find the export whose file is the version of the report that the re-export has made."""
    report = api.get(f"/reports/{job['report_id']}")
    return next(str(each["export_id"]) for each in report["files"] if each["version"] == job["file_version"])


REEXPORTS = JobCommands(
    command="reexport",
    noun="re-export",
    resource="report-reexports",
    statuses=tuple(ReexportStatus),
    success_statuses={ReexportStatus.COMPLETED},
    columns={
        "id": Column(lambda job: job["id"], is_id=True),
        "organisation": Column(lambda job: job["org_id"], drop_order=2),
        "status": Column(lambda job: format_status(job["status"])),
        "version": Column(lambda job: job["file_version"]),
        "source": Column(lambda job: format_words(job["source"]), drop_order=1),
        "created": Column(lambda job: format_time(job["created_at"])),
        "reason": Column(lambda job: job["reason"], drop_order=4, min_width=15),
        "report": Column(lambda job: job["report_id"], drop_order=3, is_id=True),
    },
    summarise=_summarise,
    describe=_describe,
    load_details=_load_version,
    cancel_request=("DELETE", ""),
    find_export=find_result_export,
    name_file=lambda job: name_version(job["file"]["name"], job["file_version"]),
)


@app.command()
def start(
    report_id: Annotated[
        str, typer.Argument(metavar="REPORT", help=f"Id of the report (`report_id` of its export), {ID_HELP}.")
    ],
    source: Annotated[
        ReexportSource,
        typer.Option(help="The period's current data, or the snapshot of a version, repeated byte for byte."),
    ] = ReexportSource.CURRENT_DATA,
    version: Annotated[int, typer.Option(min=1, help="Version of the report that same_snapshot repeats.")] = 1,
    reason: Annotated[str | None, typer.Option(help="Reason, stored in the report's history.")] = None,
    export_format: Annotated[
        ExportFormat | None, typer.Option("--format", help="File format. Default: unchanged.")
    ] = None,
    locale: Annotated[Locale | None, typer.Option(help="Language. Default: unchanged.")] = None,
    csv_profile: Annotated[CsvProfile | None, typer.Option(help="CSV dialect. Default: unchanged.")] = None,
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
    api, report = find_data(data_dir, user, org, "reports", report_id, argument="REPORT", is_change=True)
    require_version(report, version)
    overrides: dict[str, Any] = {
        "export_format": export_format,
        "locale": locale,
        "csv_profile": csv_profile,
        "include_attachments": include_attachments,
    }
    body: dict[str, Any] = {"report_id": report["id"], "source": source, "version": version, "reason": reason}
    body["overrides"] = {name: value for name, value in overrides.items() if value is not None}
    with name_options(_OPTIONS):
        job = api.post("/report-reexports", body, idempotency_key=key or str(uuid4()))
    REEXPORTS.follow(api, job, as_json, watch=watch)


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
    if report_id is None or is_whole_id(report_id):
        api = connect(data_dir, user, org)
    else:
        api, report = find_data(data_dir, user, org, "reports", report_id, argument="--report")
        report_id = report["id"]
    REEXPORTS.print_jobs(api, as_json, org_id=org, report_id=report_id, status=status, page_size=limit)


REEXPORTS.register(
    app,
    {
        "show": "Show one re-export.",
        "watch": "Wait for a re-export to finish and show its progress. Exit code 3 if it failed or was cancelled.",
        "cancel": "Cancel a re-export and its export. The report's history is not changed.",
        "download": "Download the file of a completed re-export and verify its SHA-256.",
    },
)
