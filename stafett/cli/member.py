"""``stafett member``: the members of an organisation."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from stafett.cli.client import ApiClient, Json, connect
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_status
from stafett.cli.jobs import print_list, print_result
from stafett.cli.lookup import iterate_pages
from stafett.cli.options import DataDirOption, JsonOption, OrgOption
from stafett.cli.owner import validate_address
from stafett.cli.tables import Column, Columns
from stafett.domain.errors import NotFoundError

app = typer.Typer(name="member", help="Invite and remove the members of an organisation.", no_args_is_help=True)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="Email address of the member.")]
RoleOption = Annotated[Literal["coordinator", "admin", "auditor"], typer.Option("--role", help="Role.")]
AdminOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        is_eager=True,
        help="Development stack only: email address of the user to act as. Default: the organisation's administrator.",
    ),
]

COLUMNS: Columns = {
    "id": Column(lambda member: member["user_id"], drop_order=1),
    "address": Column(lambda member: member["address"]),  # other commands take it as their argument
    "role": Column(lambda member: member["role"]),
    "status": Column(lambda member: format_status(member["status"])),
    "name": Column(lambda member: member["display_name"], drop_order=2),
}


@app.command()
def add(
    address: AddressArgument,
    role: RoleOption,
    org: OrgOption = "",
    name: Annotated[str | None, typer.Option("--name", help="Name of the member. Default: the address.")] = None,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Invite a member by email."""
    body = {"address": validate_address(address), "role": role} | ({"display_name": name} if name else {})
    with name_options({"/address": "ADDRESS", "/display_name": "--name", "path:org_id": "--org"}):
        member = connect_as_admin(data_dir, user, org).post(_members_path(org), body)
    print_result(member, as_json, f"{_title(member)} is invited, with the role {member['role']}.")


@app.command()
def role(
    address: AddressArgument,
    role: RoleOption,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the role of a member."""
    api = connect_as_admin(data_dir, user, org)
    path = f"{_members_path(org)}/{_find_member(api, org, address)['user_id']}"
    member = api.put(path, json.dumps({"role": role}).encode(), if_match=None)
    print_result(member, as_json, f"{_title(member)} has the role {member['role']}.")


@app.command()
def remove(
    address: AddressArgument,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a member. Their API keys end at once; what they made stays."""
    api = connect_as_admin(data_dir, user, org)
    member = _find_member(api, org, address)
    api.delete(f"{_members_path(org)}/{member['user_id']}")
    print_result(member, as_json, f"{_title(member)} is removed.")


@app.command(name="list")
def list_members(
    org: OrgOption = "", data_dir: DataDirOption = None, user: AdminOption = None, as_json: JsonOption = False
) -> None:
    """List the members, newest first."""
    members = list(iterate_pages(connect_as_admin(data_dir, user, org), _members_path(org), {}))
    print_list({"items": members}, as_json, COLUMNS)


def connect_as_admin(data_dir: Path | None, user: str | None, org: str) -> ApiClient:
    return connect(data_dir, user or f"admin@{org}.example", org)


def _members_path(org: str) -> str:
    return f"/organisations/{org}/members"


def _title(member: Json) -> str:
    return f"Member {member['user_id']} ({member['org_id']}, {member['display_name']}, {member['address']})"


def _find_member(api: ApiClient, org: str, address: str) -> Json:
    for member in iterate_pages(api, _members_path(org), {}):
        if member["address"] == address.lower():
            return member
    raise NotFoundError(f"{org} has no member with this address.")
