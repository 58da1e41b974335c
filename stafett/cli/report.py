"""``stafett report``: commands for the report history and for submissions to Bufdir."""

import json
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
        file = version["file"] or {"name": "removed from storage", "sha256": "-"}
        print_lines(f"  version {version['version']}, {version['kind']}: {file['name']}, SHA-256 {file['sha256']}")
    if report["submitted_at"]:
        print_lines(f"  submitted {report['submitted_at']}, {report['submitted_reference'] or 'without a reference'}")


@app.command(name="submitted")
def mark_submitted(
    report_id: ReportIdArgument,
    submitted_at: Annotated[str, typer.Option("--at", help="Time of submission to Bufdir (RFC 3339).")],
    reference: Annotated[str | None, typer.Option("--reference", help="Bufdir's reference for the submission.")] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record that a report was submitted to Bufdir."""
    api, report = _find_report(data_dir, user, org, report_id)
    path = f"/reports/{report['id']}"
    body = json.dumps({"submitted_at": submitted_at, "submitted_reference": reference}).encode()
    report = api.put(path, body, if_match=api.etag_of(path, {}))
    print_result(report, as_json, f"Report {report['id']} is recorded as submitted.")


def _find_report(data_dir: Path | None, user: str | None, org: str | None, report_id: str) -> tuple[ApiClient, Json]:
    """Load a report. The default user of a development stack, an operator, may not read it, so `org` is needed."""
    if data_dir is not None and not user and not org:
        raise SettingsError("Specify the report's organisation with --org.")
    return find_job(data_dir, user, org, "reports", report_id)
