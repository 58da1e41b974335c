"""``stafett report``: commands for the report history and for submissions to Bufdir."""

import json
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import Json, connect
from stafett.cli.csv_files import read_csv_rows, save_csv
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_day, format_period, format_size, format_time, format_words
from stafett.cli.jobs import LimitOption, build_query, download_job_file, print_list, print_result
from stafett.cli.lookup import find_data
from stafett.cli.options import (
    ID_HELP,
    DataDirOption,
    JsonOption,
    OptionalOrgOption,
    OrgOption,
    UserOption,
    normalise_instant,
)
from stafett.cli.tables import Column, Columns, Details, print_details, print_table
from stafett.cli.terminal import print_json, print_lines
from stafett.domain.errors import InvalidStateError, NotFoundError
from stafett.domain.file_versions import name_version
from stafett.domain.reporting_period import OSLO, ReportingPeriod

app = typer.Typer(name="report", help="Show past reports and record their submission to Bufdir.", no_args_is_help=True)

ReportIdArgument = Annotated[str, typer.Argument(metavar="ID", help=f"Id of the report, {ID_HELP}.")]
_SUBMISSION_OPTIONS = {
    "/submitted_at": "--at",
    "/submitted_reference": "--reference",
    "/version": "--version",
    "/grant_year": "--grant-year",
}

COLUMNS: Columns = {
    "id": Column(lambda report: report["id"], is_id=True),
    "organisation": Column(lambda report: report["org_id"], drop_order=1),
    "period": Column(format_period),
    "created": Column(lambda report: format_time(report["created_at"]), drop_order=3),
    "versions": Column(lambda report: len(report["files"])),
    "submitted": Column(lambda report: format_time(report["submitted_at"])[:10] or "no"),
    "reference": Column(lambda report: report["submitted_reference"], drop_order=2, min_width=12),
}
CHANGE_COLUMNS: Columns = {
    "change": Column(itemgetter("change")),
    "date": Column(itemgetter("date")),
    "mentor": Column(itemgetter("mentor"), min_width=12),
    "place": Column(itemgetter("place"), drop_order=2, min_width=10),
    "row before": Column(itemgetter("row_before"), drop_order=4),
    "row after": Column(itemgetter("row_after")),
    "counts": Column(lambda row: f"{row['counted_before'] or '-'} → {row['counted_after'] or '-'}"),
    "differences": Column(itemgetter("differences"), min_width=20),
    "sheet": Column(lambda row: row["sheet_after"] or row["sheet_before"], drop_order=1),
    "activity": Column(itemgetter("activity_id"), drop_order=3, is_id=True),
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


def require_version(report: Json, number: int) -> Json:
    """Return a version of the report; raise a usage error that names the versions if there is no such one."""
    version: Json | None = next((each for each in report["files"] if each["version"] == number), None)
    if version is None:
        versions = f"versions 1 to {len(report['files'])}" if len(report["files"]) > 1 else "version 1 only"
        raise typer.BadParameter(f"there is no such version; the report has {versions}", param_hint="'--version'")
    return version


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
        print_table(rows, CHANGE_COLUMNS)
    else:
        print_lines("The two versions have the same activities, with the same outcomes.")


@app.command(name="submitted")
def mark_submitted(
    report_id: ReportIdArgument,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Version that was handed in. Default: the newest.")
    ] = None,
    submitted_at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="Day of submission to Bufdir (2026-12-31 or 31.12.2026), or an RFC 3339 time. Default: the recorded day"
            " of a version that is marked already, or now.",
            callback=normalise_instant,
        ),
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
    """Record which version of a report was handed in to Bufdir, and protect its file.

    Of a version that is recorded already, only what is given changes. `stafett report not-submitted` takes it back.
    """
    api, before = find_data(data_dir, user, org, "reports", report_id, is_change=True)
    path = f"/reports/{before['id']}"
    marked = require_version(before, version or len(before["files"]))
    body = build_query(
        version=marked["version"], submitted_at=submitted_at, submitted_reference=reference, grant_year=grant_year
    )
    with name_options(_SUBMISSION_OPTIONS):
        report = api.put(path, json.dumps(body).encode(), if_match=api.etag_of(path, {}))
    title = (
        f"Version {report['submitted_version']} of report {report['id']} ({report['org_id']}, {format_period(report)})"
    )
    label, value = _describe_storage(report)
    storage = f"Its file is stored until {value}." if label == "stored until" else "Its file has been deleted."
    submission = f"is recorded as submitted at {format_time(report['submitted_at'])}."
    if warning := _describe_unlikely_day(report):
        print_lines(f"Warning: {warning} Correct it with --at if it is mistyped.", err=True)
    replaced = _describe_replaced_mark(marked, report["files"][marked["version"] - 1])
    marks = describe_marks(before, report, is_chosen=version is not None)
    print_result(report, as_json, f"{title} {submission} {storage}", *replaced, *marks)


def _describe_unlikely_day(report: Json) -> str | None:
    """Describe what is unlikely about the day of a submission: it is in the future, or before the period's end."""
    submitted_at = datetime.fromisoformat(report["submitted_at"])
    if submitted_at > datetime.now(UTC):
        return "This day is in the future."
    last_day = ReportingPeriod.model_validate(report["reporting_period"]).last_day
    if submitted_at.astimezone(OSLO).date() < last_day:
        return f"This day is before the end of the period, {format_day(last_day.isoformat())}."
    return None


def _describe_replaced_mark(before: Json, after: Json) -> list[str]:
    """Describe the day and the reference that a version had before, if one of them is another one now."""
    names = ("submitted_at", "submitted_reference")
    if not before["submitted_at"] or all(before[name] == after[name] for name in names):
        return []
    return [f"Recorded for version {before['version']} before: {_format_mark(before)}."]


@app.command(name="not-submitted")
def unmark_submitted(
    report_id: ReportIdArgument,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Version that was not handed in. Default: all versions.")
    ] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back that a report, or a version of it, was handed in to Bufdir. Its file is then no longer protected.

    What is taken back, the day and the reference of each version, is printed: `stafett report submitted` records it
    again.
    """
    api, before = find_data(data_dir, user, org, "reports", report_id, is_change=True)
    versions = before["files"] if version is None else [require_version(before, version)]
    marked = [each for each in versions if each["submitted_at"]]
    if not marked:
        which = "No version" if version is None else f"Version {version}"
        submitted = "is not" if version else "is"
        raise InvalidStateError(f"{which} of report {before['id']} {submitted} recorded as submitted.")
    path, body = f"/reports/{before['id']}", {"submitted_at": None} | build_query(version=version)
    report = api.put(path, json.dumps(body).encode(), if_match=api.etag_of(path, {}))
    title = f"report {report['id']} ({report['org_id']}, {format_period(report)})"
    lines = [
        f"Version {each['version']} of {title} is no longer recorded as submitted; it was: {_format_mark(each)}."
        for each in marked
    ]
    if remaining := report["submitted_version"]:
        lines.append(f"Version {remaining} is still recorded as submitted: {_format_mark(report)}.")
    print_result(report, as_json, *lines)


def describe_marks(before: Json, after: Json, *, is_chosen: bool) -> list[str]:
    """Describe which of the versions is marked now, and which one was before, if it was another one."""
    marked, earlier = after["submitted_version"], before["submitted_version"]
    choice = "" if is_chosen or len(after["files"]) == 1 else " It is the newest, because --version was not given."
    lines = [f"The report has {len(after['files'])} versions; version {marked} is marked now.{choice}"]
    if earlier not in {None, marked}:
        reference = after["submitted_reference"] or "no reference"
        lines.append(
            f"Version {earlier} was marked before ({_format_mark(before)}), and its file stays protected. "
            f"Version {marked} has a day and a reference of its own: {reference}."
        )
    return lines if len(after["files"]) > 1 else []


def _describe_submission(report: Json) -> Details:
    if not report["submitted_at"]:
        return [("submitted", "no")]
    return [
        ("submitted", f"version {report['submitted_version']}, {_format_mark(report)}"),
        ("grant year", report["grant_year"]),
        _describe_storage(report),
    ]


def _format_mark(submitted: Json) -> str:
    """Format when a report or one of its versions was submitted, and under which reference."""
    return f"{format_time(submitted['submitted_at'])}, {submitted['submitted_reference'] or 'without a reference'}"


def _describe_storage(report: Json) -> tuple[str, object]:
    """Describe until when the file of the submitted version is stored, or when it was deleted."""
    removed_at = report["files"][report["submitted_version"] - 1]["removed_at"]
    if removed_at:
        return "deleted", f"{format_time(removed_at)}; its name, size and hashes are below"
    return "stored until", format_day(report["retained_until"])


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
        details.append(("submitted", _format_mark(version)))
    if change := describe_change(version["change"]):
        details.append(("change", change))
    return [*details, ("export", version["export_id"])]
