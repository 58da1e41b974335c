"""``stafett export``: commands for exports."""

from collections.abc import Iterable, Mapping
from typing import Annotated
from uuid import uuid4

import typer

from stafett.cli.audit_details import format_details
from stafett.cli.audit_filters import shorten_actor
from stafett.cli.audit_list import DetailsOption, print_events
from stafett.cli.client import Json, connect
from stafett.cli.csv_files import read_csv_rows, replace_rows, save_csv
from stafett.cli.deviations import (
    MAX_ROWS_SHOWN,
    KindOption,
    MentorOption,
    describe_selection,
    print_deviations,
    select_deviations,
)
from stafett.cli.existing_report import describe_existing_report, find_report_of_period
from stafett.cli.field_errors import EXPORT_OPTIONS, name_options
from stafett.cli.formats import format_period, format_status, format_time, format_words
from stafett.cli.jobs import JobCommands, JobIdArgument, WatchOption, describe_result
from stafett.cli.lookup import find_export_for_audit, find_job, iterate_pages
from stafett.cli.options import (
    ConfirmHandedInOption,
    CsvProfileOption,
    DataDirOption,
    FormatOption,
    JsonOption,
    LocaleOption,
    OptionalOrgOption,
    OrgOption,
    PeriodEndOption,
    PeriodStartOption,
    UserOption,
    YesOption,
)
from stafett.cli.tables import Column, Columns, Details
from stafett.cli.terminal import print_json, print_lines
from stafett.domain.export import ExportFormat
from stafett.domain.export_status import ExportStatus

app = typer.Typer(name="export", help="Export activities as reports for Bufdir.", no_args_is_help=True)

_RESOURCE = "bufdir-exports"
_MAX_FAILURES_SHOWN = 10
_COUNTS = {
    "activities": ("queried", "written", "rejected"),
    "counting": ("countable", "not_countable", "events"),
}
"""The counts of an export by the label of their line; each line fits a terminal of 80 columns."""

_HINTS = {
    ExportStatus.COMPLETED_EMPTY: "There are no activities in this period, so there is no file.",
    ExportStatus.FAILED: "Correct the cause and retry it: `stafett export retry {id}`.",
}


def _summarise(job: Json) -> str:
    return f"{job['org_id']}, {format_period(job)}, {job['export_format']}"


def _describe(job: Json) -> Details:
    details: list[tuple[str, object]] = [
        ("organisation", job["org_id"]),
        ("period", format_period(job)),
        ("format", job["export_format"]),
        ("status", format_status(job["status"])),
    ]
    if hint := _HINTS.get(job["status"]):
        details.append(("", hint.format(id=job["id"])))
    details += describe_counts(job)
    if job["partial_failure_count"] or any(entry["count"] for entry in job["not_countable"] or ()):
        details.append(("row by row", f"stafett export deviations {job['id']}"))
    details += [("report", job["report_id"])] if job.get("report_id") else []
    return [*details, *describe_result(job)]


def describe_counts(result: Json) -> Details:
    """Describe the counts of an export or a preview, its warnings, and why activities are rejected or do not count."""
    details: list[tuple[str, object]] = []
    if counts := result["counts"]:
        details += [(label, _format_counts(counts, names)) for label, names in _COUNTS.items()]
    details += [("warning", warning["message"]) for warning in result["warnings"]]
    details += [
        ("not counted", f"{entry['reason']}: {entry['count']}")
        for entry in result["not_countable"] or ()
        if entry["count"]
    ]
    failures = result["partial_failures"]
    details += [
        (
            "rejected" if failure["is_fatal"] else "warning",
            f"{failure['failure_reason']} ({_count_activities(failure['affected_count'])})",
        )
        for failure in failures[:_MAX_FAILURES_SHOWN]
    ]
    hidden = len(failures) - _MAX_FAILURES_SHOWN
    return [*details, ("", f"and {hidden} more kinds")] if hidden > 0 else details


def _count_activities(count: int) -> str:
    return f"{count} {'activity' if count == 1 else 'activities'}"


def _format_counts(counts: Mapping[str, int], names: Iterable[str]) -> str:
    return ", ".join(f"{format_words(name)} {counts[name]}" for name in names)


EXPORTS = JobCommands(
    command="export",
    noun="export",
    resource=_RESOURCE,
    statuses=tuple(ExportStatus),
    success_statuses={ExportStatus.COMPLETED, ExportStatus.COMPLETED_EMPTY},
    columns={
        "id": Column(lambda job: job["id"], is_id=True),
        "organisation": Column(lambda job: job["org_id"], drop_order=2),
        "period": Column(format_period),
        "format": Column(lambda job: job["export_format"], drop_order=3),
        "status": Column(lambda job: format_status(job["status"])),
        "rows": Column(lambda job: job["row_count"], drop_order=1),
        "created": Column(lambda job: format_time(job["created_at"]), drop_order=4),
    },
    summarise=_summarise,
    describe=_describe,
    cancel_request=("PUT", "/cancel"),
)
AUDIT_COLUMNS: Columns = {
    "seq": Column(lambda event: event["seq"]),
    "at": Column(lambda event: format_time(event["at"])),
    "event": Column(lambda event: event["event"]),
    "status": Column(lambda event: format_status(event["status"] or ""), drop_order=4),
    "actor": Column(lambda event: event.get("actor_name") or shorten_actor(event["actor"]), drop_order=3),
    "details": Column(format_details, drop_order=2, min_width=16),
    "hash": Column(lambda event: event["hash"][:12], drop_order=1),
}


@app.command()
def start(
    period_start: PeriodStartOption,
    period_end: PeriodEndOption,
    org: OrgOption = "",
    export_format: FormatOption = ExportFormat.CSV,
    locale: LocaleOption = "nb",
    csv_profile: CsvProfileOption = "excel",
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
    """Start an export and print its id.

    A period without activities ends as completed_empty: a success without a file, unless --fail-on-empty is given.

    If the organisation has a report of this period already, standard error names it: `stafett reexport start` adds a
    version to a report instead of making another one.
    """
    api = connect(data_dir, user, org)
    earlier = None if as_json else find_report_of_period(api, org, period_start, period_end)
    body = {
        "org_id": org,
        "reporting_period": {"start": period_start, "end": period_end},
        "export_format": export_format,
        "locale": locale,
        "csv_profile": csv_profile,
        "include_attachments": include_attachments,
        "fail_on_empty": fail_on_empty,
    }
    with name_options(EXPORT_OPTIONS):
        job = api.post(f"/{_RESOURCE}", body, idempotency_key=key or str(uuid4()))
    if earlier is not None and earlier["export_id"] != job["id"]:
        print_lines(f"Warning: {describe_existing_report(earlier)}", err=True)
    EXPORTS.follow(api, job, as_json, watch=watch)


EXPORTS.register(
    app,
    {
        "list_jobs": "List exports, newest first.",
        "show": "Show one export.",
        "watch": (
            "Wait for an export to finish and show its progress. Exit code 0 if it is completed or completed_empty,"
            " and 3 if it failed or was cancelled."
        ),
        "cancel": "Cancel an export and remove its files from storage.",
        "retry": "Retry a failed or cancelled export. A failed export reuses its finished stages.",
        "download": "Download the file of a finished export and verify its SHA-256.",
    },
)


@app.command()
def deviations(
    export_id: JobIdArgument,
    kind: KindOption = None,
    mentor: MentorOption = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Save the CSV file here instead of printing a table.")
    ] = "",
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Print all of them, not the first {MAX_ROWS_SHOWN}.")
    ] = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the activities that were rejected, do not count or have a warning, and how to correct them.

    How many there are of each kind comes first, and then the first of them.
    """
    api, job = find_job(data_dir, user, org, _RESOURCE, export_id)
    content = api.get_bytes(f"/{_RESOURCE}/{job['id']}/deviations.csv")
    all_rows = read_csv_rows(content)
    warning_codes = {failure["code"] for failure in job["partial_failures"] if not failure["is_fatal"]}
    rows = select_deviations(all_rows, kind, mentor, warning_codes)
    if output:
        save_csv(output, replace_rows(content, rows) if len(rows) < len(all_rows) else content)
        print_lines(f"{output} ({len(rows)} activities)")
    elif as_json:
        print_json({"items": rows})
    else:
        limit = None if show_all else MAX_ROWS_SHOWN
        selection = describe_selection(kind, mentor)
        print_deviations(rows, report_id=job["report_id"], limit=limit, total=len(all_rows), selection=selection)


@app.command(name="audit")
def show_audit(
    export_id: JobIdArgument,
    details: DetailsOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the audit events of an export, oldest first, with their positions in the organisation's hash chain.

    Those of a deleted export, too: by its whole id, or by the start of it if it made a report.
    """
    api, whole_id, org_id = find_export_for_audit(data_dir, user, org, export_id)
    events = list(iterate_pages(api, f"/{_RESOURCE}/{whole_id}/audit", {}))
    print_events(api, org_id, {"items": events}, as_json, AUDIT_COLUMNS, with_details=details)


@app.command()
def delete(
    export_id: JobIdArgument,
    yes: YesOption = False,
    confirm_handed_in: ConfirmHandedInOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
) -> None:
    """Delete a finished export and its files (admins only).

    Its entry in the history stays, and so do its audit events, which `stafett audit list` has.

    If its file was handed in to Bufdir, this needs a confirmation of its own.
    """
    api, job = find_job(data_dir, user, org, _RESOURCE, export_id, role="admin", is_change=True)
    EXPORTS.confirm_and_delete(api, job, yes=yes, confirm_handed_in=confirm_handed_in)
