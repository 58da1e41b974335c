"""``stafett mapping preview``, ``show`` and ``add``: the mapping that an organisation's reports are made by."""

import json
from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import ApiClient, ApiError, Json, connect
from stafett.cli.options import DataDirOption, JsonOption, OrgOption
from stafett.cli.terminal import make_console, make_table
from stafett.domain.errors import StafettError

_NOT_FOUND = 404
UserOption = Annotated[str | None, typer.Option("--user", help="Who asks, on a development stack.")]


def preview(
    org: OrgOption,
    period_start: Annotated[
        str, typer.Option("--start", "--from", help="First day (2026-01-01), or an RFC 3339 time.")
    ],
    period_end: Annotated[str, typer.Option("--end", "--to", help="Last day, or an RFC 3339 time; included.")],
    export_format: Annotated[str, typer.Option("--format", help="csv or xlsx.")] = "csv",
    locale: Annotated[str, typer.Option(help="nb, nn or en.")] = "nb",
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an export would be: counts, what does not count and why, and the first rows."""
    period = {"start": period_start, "end": period_end}
    asked = {"org_id": org, "reporting_period": period, "export_format": export_format, "locale": locale}
    api = connect(data_dir, user, org)
    with make_console(stderr=True).status("Reading and mapping the period"):
        found = api.post("/bufdir-exports/preview", asked, timeout=60)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo("\n".join(_format_preview(found)))
    if found["rows"]:
        shown = make_table(*found["columns"])
        for row in found["rows"]:
            shown.add_row(*("" if cell is None else str(cell) for cell in row.values()))
        make_console().print(shown)


def show(
    org: OrgOption,
    version: Annotated[int | None, typer.Option(min=1, help="This version.")] = None,
    at: Annotated[str | None, typer.Option(help="The one in force on this day; else today.")] = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print an organisation's mapping document; with --json also its version, hash and day."""
    wanted = {name: value for name, value in (("version", version), ("at", at)) if value is not None}
    found = connect(data_dir, user, org).get(_mapping_path(org), wanted)
    typer.echo(json.dumps(found if as_json else found["document"], indent=None if as_json else 2, ensure_ascii=False))


def add(
    org: OrgOption,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A mapping document that `mapping check` finds sound.")],
    based_on: Annotated[
        int | None,
        typer.Option("--based-on", min=0, help="The newest version you have seen; else that there is."),
    ] = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a document as an organisation's newest version, in force from its own day on; administrators only."""
    try:
        written = file.read_bytes()
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None
    api = connect(data_dir, user or f"admin@{org}.example", org)
    seen = _current_etag(api, org) if based_on is None else f'"{based_on}-0"'
    added = api.put(_mapping_path(org), written, if_match=seen)
    said = f"Version {added['version']} of {org}'s mapping holds from {added['effective_from']}; {added['sha256']}."
    typer.echo(json.dumps(added, ensure_ascii=False) if as_json else said)


def _mapping_path(org: str) -> str:
    return f"/organisations/{org}/column-mapping"


def _current_etag(api: ApiClient, org: str) -> str | None:
    """What the edit is based on; an organisation without any mapping has nothing to base it on."""
    try:
        return api.etag_of(_mapping_path(org), {"version": 1})
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _format_preview(preview: Json) -> list[str]:
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in preview["counts"].items())
    lines = [f"Mapping version {preview['mapping']['version']}: {counts}"]
    lines += [f"  {warning['message']}" for warning in preview["warnings"]]
    lines += [f"  does not count: {one['reason']}: {one['count']}" for one in preview["not_countable"] if one["count"]]
    for failure in preview["partial_failures"]:
        what = "rejected" if failure["is_fatal"] else "warning"
        lines.append(f"  {what}: {failure['failure_reason']} ({failure['affected_count']})")
    return lines
