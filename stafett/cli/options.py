"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from stafett.domain.export import OrgId

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="D", help="Data directory of a running `stafett dev`. Default: use STAFETT_* variables."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_ORG_OPTION = typer.Option("--org", help="Organisation id, such as nhf, blindeforbundet or hlf.")
OrgOption = Annotated[str, _ORG_OPTION]
UserOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        help="Development stack only: email address of the user to act as. Default: the organisation's coordinator.",
    ),
]
OptionalOrgOption = Annotated[str | None, _ORG_OPTION]


def validate_org_id(org: str | None) -> None:
    try:
        TypeAdapter[str | None](OrgId | None).validate_python(org)
    except ValidationError:
        raise typer.BadParameter("an organisation's id is expected, such as nhf") from None
