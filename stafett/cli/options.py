"""Options that several commands share."""

import re
from datetime import date
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
ConfirmHandedInOption = Annotated[
    bool,
    typer.Option("--confirm-handed-in", help="Confirm the removal of files that were handed in to Bufdir, too."),
]
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


def normalise_time(text: str) -> str:
    """Return a Norwegian date as an ISO date; the API checks every other form."""
    parts = re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text)
    if parts is None:
        return text
    day, month, year = map(int, parts.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text} is not a day of the calendar") from None


_TIME_HELP = "of the period (2026-12-31 or 31.12.2026), or an RFC 3339 time."
PeriodStartOption = Annotated[
    str, typer.Option("--start", "--from", help=f"First day {_TIME_HELP}", callback=normalise_time)
]
PeriodEndOption = Annotated[
    str, typer.Option("--end", "--to", help=f"Last day (inclusive) {_TIME_HELP}", callback=normalise_time)
]


def validate_org_id(org: str | None) -> None:
    try:
        TypeAdapter[str | None](OrgId | None).validate_python(org)
    except ValidationError:
        raise typer.BadParameter("an organisation's id is expected, such as nhf") from None
