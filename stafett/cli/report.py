"""``stafett report``: commands for the report history and for submissions to Bufdir."""

from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import Json, connect
from stafett.cli.csv_files import read_csv_rows, save_csv
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_period, format_size, format_time, format_words
from stafett.cli.jobs import LimitOption, build_query, download_job_file, print_list, print_result
from stafett.cli.lookup import find_data
from stafett.cli.options import (
    DataDirOption,
    JsonOption,
    OptionalOrgOption,
    OrgOption,
    UserOption,
)
from stafett.cli.report_changes import CHANGE_COLUMNS
from stafett.cli.submission import (
    ReportIdArgument,
    describe_storage,
    format_mark,
    mark_submitted,
    require_version,
    unmark_submitted,
)
from stafett.cli.tables import Column, Columns, Details, print_details, print_table
from stafett.cli.terminal import print_json, print_lines
from stafett.domain.errors import InvalidStateError, NotFoundError
from stafett.domain.file_versions import name_version

app = typer.Typer(name="report", help="Show past reports and record their submission to Bufdir.", no_args_is_help=True)

COLUMNS: Columns = {
    "id": Column(lambda report: report["id"], is_id=True),
    "organisation": Column(lambda report: report["org_id"], drop_order=1),
    "period": Column(format_period),
    "created": Column(lambda report: format_time(report["created_at"]), drop_order=3),
    "versions": Column(lambda report: len(report["files"])),
    "submitted": Column(lambda report: format_time(report["submitted_at"])[:10] or "no"),
    "reference": Column(lambda report: report["submitted_reference"], drop_order=2, min_width=12),
}


@app.command(name="list")
def list_reports(
    org: OrgOption = "",
    limit: LimitOption = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List reports, newest first."""
    query = build_query(org_id=org, page_size=limit)
    print_list(connect(data_dir, user, org).get("/reports", query), as_json, COLUMNS)


@app.command()
def show(
    report_id: ReportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one report with every version of its file."""
    _, report = find_data(data_dir, user, org, "reports", report_id)
    if as_json:
        print_json(report)
        return
    details = [("organisation", report["org_id"]), ("period", format_period(report)), *_describe_submission(report)]
    print_details(f"Report {report['id']}", details)
    for version in report["files"]:
        print_details(f"Version {version['version']}", _describe_version(version))


@app.command()
def download(
    report_id: ReportIdArgument,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Version. Default: the newest.")] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Output file or folder. Default: the current folder.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download a version of a report and verify its SHA-256. Versions from 2 have their number in the file's name."""
    api, report = find_data(data_dir, user, org, "reports", report_id)
    number = version or len(report["files"])
    chosen = require_version(report, number)
    if chosen["file"] is None:
        raise NotFoundError(f"The file of version {number} has been removed from storage.")
    export = api.get(f"/bufdir-exports/{chosen['export_id']}")
    name = name_version(chosen["file"]["name"], number)
    target = download_job_file(api, export, export["id"], output, force=force, quiet=as_json, name=name)
    print_result(
        {"path": str(target), **chosen["file"]}, as_json, f"{target} ({format_size(chosen['file']['size_bytes'])})"
    )


@app.command()
def changes(
    report_id: ReportIdArgument,
    before: Annotated[
        int | None, typer.Option("--from", min=1, help="Earlier version. Default: the one before the later version.")
    ] = None,
    after: Annotated[int | None, typer.Option("--to", min=1, help="Later version. Default: the newest.")] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Save the CSV file here instead of printing a table.")
    ] = "",
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the activities that a new version of a report added, removed or changed."""
    api, report = find_data(data_dir, user, org, "reports", report_id)
    for option, number in (("--from", before), ("--to", after)):
        if number is not None:
            require_version(report, number, option)
    if len(report["files"]) == 1:
        raise InvalidStateError(f"Report {report['id']} has one version only, so there is nothing to compare it with.")
    with name_options({"query:from": "--from", "query:to": "--to"}):
        query = {name: str(number) for name, number in (("from", before), ("to", after)) if number is not None}
        content = api.get_bytes(f"/reports/{report['id']}/changes.csv", query)
    rows = read_csv_rows(content)
    if output:
        save_csv(output, content)
        print_lines(f"{output} ({len(rows)} activities)")
    elif as_json:
        print_json({"items": rows})
    elif rows:
        print_table(rows, CHANGE_COLUMNS, option_for_all="--output FILE")
    else:
        print_lines("The two versions have the same activities, with the same outcomes.")


app.command(name="submitted")(mark_submitted)
app.command(name="not-submitted")(unmark_submitted)


def _describe_submission(report: Json) -> Details:
    if not report["submitted_at"]:
        return [("submitted", "no")]
    return [
        ("submitted", f"version {report['submitted_version']}, {format_mark(report)}"),
        ("grant year", report["grant_year"]),
        describe_storage(report),
    ]


def describe_change(change: Json | None) -> str | None:
    """Describe how a version differs from the one before it."""
    if change is None:
        return None
    counts = (
        "rows not compared: a snapshot is no longer stored"
        if change["rows_added"] is None
        else f"{change['rows_added']} rows added, {change['rows_removed']} removed, {change['rows_changed']} changed"
    )
    mapping = "another mapping" if change["mapping_changed"] else "the same mapping"
    return f"{counts}; {mapping}; {'the same' if change['same_bytes'] else 'other'} bytes"


def _describe_version(version: Json) -> Details:
    source = f"re-export from {format_words(version['source'])}" if version["source"] else "original"
    details: list[tuple[str, object]] = [("source", source), ("created", format_time(version["created_at"]))]
    if version["reason"]:
        details.append(("reason", version["reason"]))
    file = version["produced_file"]
    details.append(("format", Path(file["name"]).suffix.removeprefix(".")))
    details += [("file", f"{file['name']}, {format_size(file['size_bytes'])}"), ("SHA-256", file["sha256"])]
    if version["removed_at"]:
        details.append(("removed from storage", format_time(version["removed_at"])))
    if version["submitted_at"]:
        details.append(("submitted", format_mark(version)))
    if change := describe_change(version["change"]):
        details.append(("change", change))
    return [*details, ("export", version["export_id"])]
