"""``stafett report``: commands for the report history and for submissions to Bufdir."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import ApiClient, Json, connect, find_job
from stafett.cli.jobs import Columns, LimitOption, build_query, format_period, print_list, print_result
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.terminal import print_json, print_lines
from stafett.domain.errors import SettingsError

app = typer.Typer(name="report", help="Show past reports and record their submission to Bufdir.", no_args_is_help=True)

ReportIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the report.")]


_COLUMNS: Columns = {
    "id": lambda report: report["id"],
    "organisation": lambda report: report["org_id"],
    "period": format_period,
    "versions": lambda report: len(report["files"]),
    "submitted": lambda report: (report["submitted_at"] or "no")[:10],
}


@app.command(name="list")
def list_reports(
    org: OptionalOrgOption = None,
    limit: LimitOption = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List reports, newest first."""
    query = build_query(org_id=org, page_size=limit)
    print_list(connect(data_dir, user, org).get("/reports", query), as_json, _COLUMNS)


@app.command()
def show(
    report_id: ReportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one report with every version of its file."""
    _, report = _find_report(data_dir, user, org, report_id)
    if as_json:
        print_json(report)
        return
    print_lines(f"Report {report['id']}", f"  {report['org_id']}, {format_period(report)}")
    for version in report["files"]:
        file, handed_in = version["produced_file"], ", handed in" if version["submitted_at"] else ""
        removed = f", removed from storage {version['removed_at']}" if version["removed_at"] else ""
        print_lines(
            f"  version {version['version']}, {version['kind']}{handed_in}{removed}: "
            f"{file['name']}, {file['size_bytes']} bytes, SHA-256 {file['sha256']}"
        )
    if report["submitted_at"]:
        print_lines(
            f"  version {report['submitted_version']} was handed in {report['submitted_at']}, "
            f"{report['submitted_reference'] or 'without a reference'}, for the grant year {report['grant_year']}",
            f"  stored until {report['retained_until']}",
        )


@app.command(name="submitted")
def mark_submitted(
    report_id: ReportIdArgument,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Version that was handed in. Default: the newest.")
    ] = None,
    submitted_at: Annotated[
        str | None, typer.Option("--at", help="Time of submission to Bufdir (RFC 3339). Default: now.")
    ] = None,
    grant_year: Annotated[
        int | None,
        typer.Option("--grant-year", help="Grant year of the application. Default: the period's year plus two."),
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Bufdir's reference for the submission.")] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record which version of a report was handed in to Bufdir, and protect its file."""
    api, report = _find_report(data_dir, user, org, report_id)
    path = f"/reports/{report['id']}"
    submitted_at = submitted_at or datetime.now(UTC).isoformat(timespec="seconds")
    fields = {"submitted_reference": reference, "version": version, "grant_year": grant_year}
    body = {"submitted_at": submitted_at} | {name: value for name, value in fields.items() if value is not None}
    report = api.put(path, json.dumps(body).encode(), if_match=api.etag_of(path, {}))
    print_result(
        report,
        as_json,
        f"Version {report['submitted_version']} of report {report['id']} is recorded as submitted. "
        f"Its file is stored until {report['retained_until']}.",
    )


def _find_report(data_dir: Path | None, user: str | None, org: str | None, report_id: str) -> tuple[ApiClient, Json]:
    """Load a report. The default user of a development stack, an operator, may not read it, so `org` is needed."""
    if data_dir is not None and not user and not org:
        raise SettingsError("Specify the report's organisation with --org.")
    return find_job(data_dir, user, org, "reports", report_id)
