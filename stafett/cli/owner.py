"""The services of commands on the connection of the database's owner, for the first hour of an installation."""

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import TypeAdapter, ValidationError

from stafett.cli.local_settings import load_settings
from stafett.settings import require_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stafett.database.session import Database


@contextmanager
def open_owner_database(data_dir: Path | None) -> "Iterator[Database]":
    """Connect as the owner of the tables, with the login that runs migrations."""
    from stafett.database.migrate import OWNER_ROLE
    from stafett.database.session import Database, Timeouts

    url = require_setting(load_settings(data_dir).database.owner_url, "STAFETT_DATABASE__OWNER_URL")
    with closing(Database(url, pool_size=1, timeouts=Timeouts.COMMAND_LINE, role=OWNER_ROLE)) as database:
        yield database


def validate_address(address: str, argument: str = "ADDRESS") -> str:
    from stafett.people.members import Address

    try:
        return TypeAdapter[str](Address).validate_python(address)
    except ValidationError:
        message = "an email address is expected, such as kari@example.org"
        raise typer.BadParameter(message, param_hint=f"'{argument}'") from None
