"""``stafett mapping show`` and ``add``: an organisation's column mapping in the running service."""

from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import ApiClient, ApiError, connect
from stafett.cli.field_errors import name_options
from stafett.cli.jobs import print_result
from stafett.cli.options import DataDirOption, JsonOption, OrgOption, normalise_time, read_input
from stafett.cli.terminal import print_json

_NOT_FOUND = 404
UserOption = Annotated[
    str | None,
    typer.Option("--user", is_eager=True, help="Development stack only: email address of the user to act as."),
]


def show(
    org: OrgOption = "",
    version: Annotated[int | None, typer.Option(min=1, help="Version to print. Default: the one in force.")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            callback=normalise_time,
            help="Print the version in force on this day (2026-12-31 or 31.12.2026). Default: today.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print an organisation's mapping document. --json adds its version, SHA-256 and effective date."""
    query = {name: value for name, value in (("version", version), ("at", at)) if value is not None}
    with name_options({"query:at": "--at", "query:version": "--version"}):
        mapping = connect(data_dir, user, org).get(_mapping_path(org), query)
    if as_json:
        print_json(mapping)
    else:
        print_json(mapping["document"], indent=2)


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Mapping document that passes `stafett mapping check`.")],
    org: OrgOption = "",
    based_on: Annotated[
        int | None,
        typer.Option("--based-on", min=0, help="Version that the document is based on. Default: the newest."),
    ] = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a mapping document as an organisation's newest version, in force from its effective date (admins only)."""
    content = read_input(file)
    api = connect(data_dir, user or f"admin@{org}.example", org)
    etag = _current_etag(api, org) if based_on is None else f'"{based_on}-0"'
    added = api.put(_mapping_path(org), content, if_match=etag)
    message = (
        f"Version {added['version']} of {org}'s mapping is in force from {added['effective_from']},"
        f" SHA-256 {added['sha256']}."
    )
    print_result(added, as_json, message)


def _mapping_path(org: str) -> str:
    return f"/organisations/{org}/column-mapping"


def _current_etag(api: ApiClient, org: str) -> str | None:
    """Fetch the entity tag that an edit is based on; None if the organisation has no mapping yet."""
    try:
        return api.etag_of(_mapping_path(org), {"version": 1})
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
