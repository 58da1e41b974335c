"""``stafett member``: the members of an organisation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import ApiClient, Json, connect
from stafett.cli.jobs import Columns, print_list, print_result
from stafett.cli.options import DataDirOption, JsonOption, OrgOption
from stafett.domain.errors import NotFoundError

app = typer.Typer(name="member", help="Invite and remove the members of an organisation.", no_args_is_help=True)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="Email address of the member.")]
RoleOption = Annotated[str, typer.Option("--role", help="Role of the member: coordinator, admin or auditor.")]
AdminOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        help="Development stack only: email address of the user to act as. Default: the organisation's administrator.",
    ),
]


@app.command()
def add(
    address: AddressArgument,
    org: OrgOption,
    role: RoleOption,
    name: Annotated[str | None, typer.Option("--name", help="Name of the member. Default: the address.")] = None,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Invite a member by email."""
    body = {"address": address, "role": role} | ({"display_name": name} if name else {})
    member = _connect(data_dir, user, org).post(_members_path(org), body)
    print_result(member, as_json, f"Member {member['user_id']} is invited.")


@app.command()
def role(
    address: AddressArgument,
    org: OrgOption,
    role: RoleOption,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the role of a member."""
    api = _connect(data_dir, user, org)
    path = f"{_members_path(org)}/{_find_member(api, org, address)['user_id']}"
    member = api.put(path, json.dumps({"role": role}).encode(), if_match=None)
    print_result(member, as_json, f"Member {member['user_id']} has the role {member['role']}.")


@app.command()
def remove(
    address: AddressArgument,
    org: OrgOption,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a member. Their API keys end at once; what they made stays."""
    api = _connect(data_dir, user, org)
    member = _find_member(api, org, address)
    api.delete(f"{_members_path(org)}/{member['user_id']}")
    print_result(member, as_json, f"Member {member['user_id']} is removed.")


@app.command(name="list")
def list_members(
    org: OrgOption, data_dir: DataDirOption = None, user: AdminOption = None, as_json: JsonOption = False
) -> None:
    """List the members, newest first."""
    members = list(_iterate_members(_connect(data_dir, user, org), org))
    columns: Columns = {
        "id": lambda member: member["user_id"],
        "address": lambda member: member["address"],
        "name": lambda member: member["display_name"],
        "role": lambda member: member["role"],
        "status": lambda member: member["status"],
    }
    print_list({"items": members}, as_json, columns)


def _connect(data_dir: Path | None, user: str | None, org: str) -> ApiClient:
    return connect(data_dir, user or f"admin@{org}.example", org)


def _members_path(org: str) -> str:
    return f"/organisations/{org}/members"


def _iterate_members(api: ApiClient, org: str) -> Iterator[Json]:
    query: dict[str, str | int] = {"page_size": 200}
    while True:
        page = api.get(_members_path(org), query)
        yield from page["items"]
        if page["next_page_token"] is None:
            return
        query["page_token"] = page["next_page_token"]


def _find_member(api: ApiClient, org: str, address: str) -> Json:
    for member in _iterate_members(api, org):
        if member["address"] == address.lower():
            return member
    raise NotFoundError(f"{org} has no member with this address.")
