"""``stafett mapping preview``, ``show`` and ``add``: the mapping that an organisation's reports are made by."""

import json
from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import Api, ApiError, Json, connect
from stafett.cli.options import AsJson, DataDir, Org
from stafett.cli.terminal import console_for, table
from stafett.domain.errors import StafettError

_NOT_FOUND = 404
User = Annotated[str | None, typer.Option("--user", help="Who asks, on a development stack.")]


def preview(
    org: Org,
    begin: Annotated[str, typer.Option("--start", "--from", help="First day (2026-01-01), or an RFC 3339 time.")],
    end: Annotated[str, typer.Option("--end", "--to", help="Last day, or an RFC 3339 time; included.")],
    export_format: Annotated[str, typer.Option("--format", help="csv or xlsx.")] = "csv",
    locale: Annotated[str, typer.Option(help="nb, nn or en.")] = "nb",
    data_dir: DataDir = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Show what an export would be: counts, what does not count and why, and the first rows."""
    period = {"start": begin, "end": end}
    asked = {"org_id": org, "reporting_period": period, "export_format": export_format, "locale": locale}
    api = connect(data_dir, user, org)
    with console_for(errors=True).status("Reading and mapping the period"):
        found = api.post("/bufdir-exports/preview", asked, patience=60)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo("\n".join(_lines(found)))
    if found["rows"]:
        shown = table(*found["columns"])
        for row in found["rows"]:
            shown.add_row(*("" if cell is None else str(cell) for cell in row.values()))
        console_for().print(shown)


def show(
    org: Org,
    version: Annotated[int | None, typer.Option(min=1, help="This version.")] = None,
    at: Annotated[str | None, typer.Option(help="The one in force on this day; else today.")] = None,
    data_dir: DataDir = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Print an organisation's mapping document; with --json also its version, hash and day."""
    wanted = {name: value for name, value in (("version", version), ("at", at)) if value is not None}
    found = connect(data_dir, user, org).get(_path(org), wanted)
    typer.echo(json.dumps(found if as_json else found["document"], indent=None if as_json else 2, ensure_ascii=False))


def add(
    org: Org,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A mapping document that `mapping check` finds sound.")],
    based_on: Annotated[
        int | None,
        typer.Option("--based-on", min=0, help="The newest version you have seen; else that there is."),
    ] = None,
    data_dir: DataDir = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Add a document as an organisation's newest version, in force from its own day on; administrators only."""
    try:
        written = file.read_bytes()
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None
    api = connect(data_dir, user or f"admin@{org}.example", org)
    seen = _present_tag(api, org) if based_on is None else f'"{based_on}-0"'
    added = api.put(_path(org), written, if_match=seen)
    said = f"Version {added['version']} of {org}'s mapping holds from {added['effective_from']}; {added['sha256']}."
    typer.echo(json.dumps(added, ensure_ascii=False) if as_json else said)


def _path(org: str) -> str:
    return f"/organisations/{org}/column-mapping"


def _present_tag(api: Api, org: str) -> str | None:
    """What the edit is based on; an organisation without any mapping has nothing to base it on."""
    try:
        return api.tag_of(_path(org), {"version": 1})
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _lines(found: Json) -> list[str]:
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in found["counts"].items())
    lines = [f"Mapping version {found['mapping']['version']}: {counts}"]
    lines += [f"  {warning['message']}" for warning in found["warnings"]]
    lines += [f"  does not count: {one['reason']}: {one['count']}" for one in found["not_countable"] if one["count"]]
    for failure in found["partial_failures"]:
        what = "rejected" if failure["is_fatal"] else "warning"
        lines.append(f"  {what}: {failure['failure_reason']} ({failure['affected_count']})")
    return lines
