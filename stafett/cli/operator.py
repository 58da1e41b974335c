"""``stafett operator``: the operators of an installation."""

from typing import Annotated

import typer

from stafett.cli.jobs import print_list
from stafett.cli.options import DataDirOption, JsonOption
from stafett.cli.owner import open_owner_database, validate_address
from stafett.cli.tables import Column, Columns
from stafett.cli.terminal import print_lines

app = typer.Typer(
    name="operator",
    help="Add and remove operators, with the database login that runs migrations.",
    no_args_is_help=True,
)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="Email address of the operator.")]

COLUMNS: Columns = {
    "id": Column(lambda user: user["user_id"]),
    "address": Column(lambda user: user["address"], min_width=16),
}


@app.command()
def add(address: AddressArgument, data_dir: DataDirOption = None) -> None:
    """Make the user with this address an operator. A new address becomes a new user."""
    from stafett.people.operators import OperatorService

    with open_owner_database(data_dir) as database:
        user_id = OperatorService(database).add(validate_address(address))
    print_lines(f"User {user_id} ({address}) is an operator.")


@app.command()
def remove(address: AddressArgument, data_dir: DataDirOption = None) -> None:
    """Take the role of operator from a user. The account stays."""
    from stafett.people.operators import OperatorService

    with open_owner_database(data_dir) as database:
        user_id = OperatorService(database).remove(validate_address(address))
    print_lines(f"User {user_id} ({address}) is no longer an operator.")


@app.command(name="list")
def list_operators(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List the operators."""
    from stafett.people.operators import OperatorService

    with open_owner_database(data_dir) as database:
        operators = OperatorService(database).list()
    items = [{"user_id": str(user.id), "address": user.email} for user in operators]
    print_list({"items": items}, as_json, COLUMNS)
