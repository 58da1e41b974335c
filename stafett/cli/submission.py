"""``stafett report submitted`` and ``not-submitted``: which version of a report was handed in to Bufdir, and when."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from stafett.cli.client import Json
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_day, format_period, format_time
from stafett.cli.jobs import build_query, print_result
from stafett.cli.lookup import find_data
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OptionalOrgOption, UserOption, normalise_instant
from stafett.cli.terminal import print_lines
from stafett.domain.errors import InvalidStateError
from stafett.domain.reporting_period import OSLO, ReportingPeriod

ReportIdArgument = Annotated[str, typer.Argument(metavar="ID", help=f"Id of the report, {ID_HELP}.")]
_SUBMISSION_OPTIONS = {
    "/submitted_at": "--at",
    "/submitted_reference": "--reference",
    "/version": "--version",
    "/grant_year": "--grant-year",
}


def require_version(report: Json, number: int, option: str = "--version") -> Json:
    """Return the version that an option names; raise a usage error that names the versions if there is no such one."""
    version: Json | None = next((each for each in report["files"] if each["version"] == number), None)
    if version is None:
        versions = f"versions 1 to {len(report['files'])}" if len(report["files"]) > 1 else "version 1 only"
        raise typer.BadParameter(f"there is no such version; the report has {versions}", param_hint=f"'{option}'")
    return version


def mark_submitted(
    report_id: ReportIdArgument,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Version that was handed in. Default: the newest.")
    ] = None,
    submitted_at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="Day of submission to Bufdir (2026-12-31 or 31.12.2026), or an RFC 3339 time. Default: the day"
            " recorded for the version, or now.",
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
    label, value = describe_storage(report)
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
    return [f"Recorded for version {before['version']} before: {format_mark(before)}."]


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
        f"Version {each['version']} of {title} is no longer recorded as submitted; it was: {format_mark(each)}."
        for each in marked
    ]
    if remaining := report["submitted_version"]:
        lines.append(f"Version {remaining} is still recorded as submitted: {format_mark(report)}.")
    print_result(report, as_json, *lines)


def describe_marks(before: Json, after: Json, *, is_chosen: bool) -> list[str]:
    """Describe which of the versions is marked now, and which one was before, if it was another one."""
    marked, earlier = after["submitted_version"], before["submitted_version"]
    choice = "" if is_chosen or len(after["files"]) == 1 else " It is the newest, because --version was not given."
    lines = [f"The report has {len(after['files'])} versions; version {marked} is marked now.{choice}"]
    if earlier not in {None, marked}:
        reference = after["submitted_reference"] or "no reference"
        lines.append(
            f"Version {earlier} was marked before ({format_mark(before)}), and its file stays protected. "
            f"Version {marked} has a day and a reference of its own: {reference}."
        )
    return lines if len(after["files"]) > 1 else []


def format_mark(submitted: Json) -> str:
    """Format when a report or one of its versions was submitted, and under which reference."""
    return f"{format_time(submitted['submitted_at'])}, {submitted['submitted_reference'] or 'without a reference'}"


def describe_storage(report: Json) -> tuple[str, object]:
    """Describe until when the file of the submitted version is stored, or when it was deleted."""
    removed_at = report["files"][report["submitted_version"] - 1]["removed_at"]
    if removed_at:
        return "deleted", f"{format_time(removed_at)}; its name, size and hashes are below"
    return "stored until", format_day(report["retained_until"])
