"""``stafett api-key``: the API keys of an organisation, managed by its administrators."""

from typing import Annotated

import typer

from stafett.cli.client import Json
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_time
from stafett.cli.jobs import print_list, print_result
from stafett.cli.lookup import iterate_pages, resolve_id
from stafett.cli.member import AdminOption, RoleOption, connect_as_admin
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OrgOption, YesOption, normalise_instant
from stafett.cli.tables import Column, Columns
from stafett.cli.terminal import require_confirmation
from stafett.domain.errors import NotFoundError

app = typer.Typer(name="api-key", help="Make and revoke the API keys of programs.", no_args_is_help=True)

COLUMNS: Columns = {
    "id": Column(lambda key: key["id"], is_id=True),
    "name": Column(lambda key: key["name"], min_width=12),
    "role": Column(lambda key: key["role"]),
    "expires": Column(lambda key: format_time(key["expires_at"])[:10]),
    "last used": Column(lambda key: format_time(key["last_used_at"]) or "never", drop_order=2),
    "made by": Column(lambda key: key["created_by"], drop_order=1),
}


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for, such as Nightly export.")],
    role: RoleOption,
    org: OrgOption = "",
    expires: Annotated[
        str | None,
        typer.Option(
            callback=normalise_instant,
            help="Day on which it expires (2026-12-31 or 31.12.2026), or an RFC 3339 time. Default: in 90 days.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and print its secret, which is not shown again."""
    body = {"name": name, "role": role} | ({"expires_at": expires} if expires else {})
    with name_options({"/name": "NAME", "/role": "--role", "/expires_at": "--expires", "path:org_id": "--org"}):
        key = connect_as_admin(data_dir, user, org).post(_keys_path(org), body)
    lines = (
        f"{_title(key)} is made, with the role {key['role']} until {format_time(key['expires_at'])}.",
        key["secret"],
    )
    print_result(key, as_json, *lines)


@app.command(name="list")
def list_api_keys(
    org: OrgOption = "", data_dir: DataDirOption = None, user: AdminOption = None, as_json: JsonOption = False
) -> None:
    """List the API keys that are not revoked, newest first."""
    keys = list(iterate_pages(connect_as_admin(data_dir, user, org), _keys_path(org), {}))
    print_list({"items": keys}, as_json, COLUMNS)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help=f"Id of the key, {ID_HELP}.")],
    org: OrgOption = "",
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke an API key. Requests with it are rejected at once."""
    api = connect_as_admin(data_dir, user, org)
    requested_id = str(resolve_id(api, _keys_path(org), key_id))
    key = next((each for each in iterate_pages(api, _keys_path(org), {}) if each["id"] == requested_id), None)
    if key is None:
        raise NotFoundError(f"{org} has no such API key.")
    if not yes:
        require_confirmation(f"Revoke {_title(key)}?")
    api.delete(f"{_keys_path(org)}/{key['id']}")
    print_result(key, as_json, f"{_title(key)} is revoked.")


def _keys_path(org: str) -> str:
    return f"/organisations/{org}/api-keys"


def _title(key: Json) -> str:
    return f"API key {key['id']} ({key['org_id']}, {key['name']})"
