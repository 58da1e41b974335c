"""``stafett report``: the history of reports, and what was handed in."""

import json
from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import ApiClient, Json, connect, find_job
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.terminal import make_console, make_table
from stafett.domain.errors import SettingsError

app = typer.Typer(name="report", help="The history of reports, and what was handed in.", no_args_is_help=True)

ReportIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The report's id.")]


@app.command(name="list")
def list_reports(
    org: OptionalOrgOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many at most.")] = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List reports, newest first."""
    wanted: dict[str, str | int] = {"page_size": limit} | ({"org_id": org} if org else {})
    page = connect(data_dir, user, org).get("/reports", wanted)
    if as_json:
        typer.echo(json.dumps(page, ensure_ascii=False))
        return
    shown = make_table("id", "organisation", "period", "versions", "handed in")
    for report in page["items"]:
        period = report["reporting_period"]
        shown.add_row(
            report["id"],
            report["org_id"],
            f"{period['start']} to {period['end']}",
            str(len(report["files"])),
            (report["submitted_at"] or "no")[:10],
        )
    make_console().print(shown)


@app.command()
def show(
    report_id: ReportIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one report, with every file that it was made as."""
    _, report = _find_report(data_dir, user, org, report_id)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    period = report["reporting_period"]
    typer.echo(f"Report {report['id']}\n  {report['org_id']}, {period['start']} to {period['end']}")
    for version in report["files"]:
        file = version["file"] or {"name": "removed from storage", "sha256": "-"}
        typer.echo(f"  version {version['version']}, {version['kind']}: {file['name']}, SHA-256 {file['sha256']}")
    if report["submitted_at"]:
        typer.echo(f"  handed in {report['submitted_at']}, {report['submitted_reference'] or 'without a reference'}")


@app.command()
def submitted(
    report_id: ReportIdArgument,
    submitted_at: Annotated[str, typer.Option("--at", help="When it was handed in to Bufdir, as an RFC 3339 time.")],
    reference: Annotated[str | None, typer.Option("--reference", help="Bufdir's own number, or the like.")] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write down that a report was handed in to Bufdir."""
    api, report = _find_report(data_dir, user, org, report_id)
    path = f"/reports/{report['id']}"
    body = json.dumps({"submitted_at": submitted_at, "submitted_reference": reference}).encode()
    report = api.put(path, body, if_match=api.etag_of(path, {}))
    typer.echo(json.dumps(report, ensure_ascii=False) if as_json else f"Report {report['id']} was handed in.")


def _find_report(data_dir: Path | None, user: str | None, org: str | None, report_id: str) -> tuple[ApiClient, Json]:
    """An operator reads no reports, so on a development stack somebody of the organisation has to ask."""
    if data_dir is not None and not user and not org:
        raise SettingsError("Say whose report it is, with --org.")
    return find_job(data_dir, user, org, "reports", report_id)
