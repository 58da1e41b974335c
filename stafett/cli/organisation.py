"""``stafett organisation``: the organisations of an installation and their first administrators."""

from typing import Annotated

import typer
from pydantic import ValidationError

from stafett.cli.jobs import print_list
from stafett.cli.options import DataDirOption, JsonOption
from stafett.cli.owner import open_owner_database, validate_address
from stafett.cli.tables import Column, Columns
from stafett.cli.terminal import print_lines

app = typer.Typer(
    name="organisation",
    help="Add and rename organisations, with the database login that runs migrations.",
    no_args_is_help=True,
)

OrgIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the organisation, such as nhf.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the organisation.")]

_COLUMNS: Columns = {
    "organisation": Column(lambda each: each["id"]),
    "name": Column(lambda each: each["name"], min_width=20),
}


@app.command()
def add(
    org_id: OrgIdArgument,
    name: NameArgument,
    admin: Annotated[str, typer.Option("--admin", metavar="ADDRESS", help="Email address of the first administrator.")],
    data_dir: DataDirOption = None,
) -> None:
    """Add an organisation with the standard column mapping, and invite its first administrator by email."""
    from stafett.audit.trail import OWNER_ACTOR
    from stafett.people.organisations import NewOrganisation, OrganisationService

    validate_address(admin, "--admin")
    try:
        new = NewOrganisation(id=org_id, name=name, admin=admin)
    except ValidationError as error:
        argument = str(error.errors()[0]["loc"][0]).upper()
        raise typer.BadParameter("it is not valid for an organisation", param_hint=f"'{argument}'") from None
    with open_owner_database(data_dir) as database:
        OrganisationService(database).add(OWNER_ACTOR, new)
    print_lines(f"{org_id} ({name}) is added, and its administrator {admin} is invited.")


@app.command(name="list")
def list_organisations(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List all organisations."""
    from stafett.people.organisations import list_organisations as load_organisations

    with open_owner_database(data_dir) as database:
        organisations = load_organisations(database)
    items = [{"id": each.id, "name": each.name} for each in organisations]
    print_list({"items": items}, as_json, _COLUMNS)


@app.command()
def rename(org_id: OrgIdArgument, name: NameArgument, data_dir: DataDirOption = None) -> None:
    """Rename an organisation."""
    from stafett.audit.trail import OWNER_ACTOR
    from stafett.people.organisations import NewName, OrganisationService

    try:
        new = NewName(name=name)
    except ValidationError:
        raise typer.BadParameter("it is not valid for an organisation", param_hint="'NAME'") from None
    with open_owner_database(data_dir) as database:
        OrganisationService(database).rename(OWNER_ACTOR, org_id, new.name)
    print_lines(f"{org_id} is renamed to {name}.")


@app.command(name="invite-admin")
def invite_admin(
    org_id: OrgIdArgument,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Email address of the administrator.")],
    data_dir: DataDirOption = None,
) -> None:
    """Invite one more administrator, for an organisation whose administrators can no longer sign in."""
    from stafett.audit.trail import OWNER_ACTOR
    from stafett.people.members import MemberService

    with open_owner_database(data_dir) as database:
        MemberService(database).invite_admin(OWNER_ACTOR, org_id, validate_address(address))
    print_lines(f"{address} is invited as an administrator of {org_id}.")
