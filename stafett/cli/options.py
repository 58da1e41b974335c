"""Options that several commands share."""

import os
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from stafett.cli.tables import MIN_SHORT_ID_LENGTH
from stafett.domain.errors import StafettError
from stafett.domain.export import CsvProfile, ExportFormat, Locale, OrgId
from stafett.domain.reporting_period import add_oslo_offset, to_first_instant

DATA_DIR_VARIABLE, DEFAULT_DATA_DIR = "STAFETT_DATA_DIR", Path(".stafett")
ORG_VARIABLE = "STAFETT_ORG"
_OTHER_INSTALLATION = ("STAFETT_API_URL", "STAFETT_DATABASE__")


def choose_data_dir(data_dir: Path | None) -> Path | None:
    """Return the given directory, or else the one of the environment or of a stack in this folder.

    Without `--data-dir`, variables that describe an installation take precedence over a development stack.
    """
    if data_dir is not None:
        return data_dir
    if any(name.startswith(_OTHER_INSTALLATION) for name in os.environ):
        return None
    if path := os.environ.get(DATA_DIR_VARIABLE):
        return Path(path)
    return DEFAULT_DATA_DIR if (DEFAULT_DATA_DIR / "stack.json").exists() else None


DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="D",
        is_eager=True,
        callback=choose_data_dir,
        help=(
            "Data directory of a running `stafett dev`. Default: the STAFETT_* variables that describe an"
            f" installation, {DATA_DIR_VARIABLE}, or ./{DEFAULT_DATA_DIR} if a stack has run there."
        ),
    ),
]


def read_input(file: Path, max_bytes: int = -1) -> bytes:
    """Read the file of an argument, or standard input for `-`, at most this many bytes."""
    if str(file) == "-":
        return sys.stdin.buffer.read(max_bytes)
    try:
        with file.open("rb") as source:
            return source.read(max_bytes)
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None


def validate_org_id(org: str | None) -> str | None:
    try:
        return TypeAdapter[str | None](OrgId | None).validate_python(org)
    except ValidationError:
        raise typer.BadParameter("an organisation's id is expected, such as nhf") from None


def require_org_id(context: typer.Context, org: str) -> str:
    """Return the organisation of the option, or else the only one of the caller."""
    if org or context.resilient_parsing:
        return validate_org_id(org or None) or ""
    from stafett.cli.lookup import choose_organisation

    return choose_organisation(context.params.get("data_dir"), context.params.get("user"))


ID_HELP = f"or at least its first {MIN_SHORT_ID_LENGTH} characters"
"""What can be given in place of an id, for the help of arguments."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ConfirmHandedInOption = Annotated[
    bool,
    typer.Option("--confirm-handed-in", help="Confirm the removal of files that were handed in to Bufdir, too."),
]
_ORG_HELP = "Organisation id, such as nhf, blindeforbundet or hlf."


def build_org_option(default: str, callback: Callable[..., str | None] = validate_org_id) -> Any:
    """Build an option for an organisation whose help describes what is done without it."""
    help_text = f"{_ORG_HELP} Default: {default}."
    return typer.Option("--org", envvar=ORG_VARIABLE, callback=callback, show_default=False, help=help_text)


OrgOption = Annotated[str, build_org_option("yours, if you have one only", require_org_id)]
"""The organisation that a command needs. Its default is the empty text, in whose place the callback puts an id."""

OptionalOrgOption = Annotated[str | None, build_org_option("all that you have access to")]
RequiredOrgOption = Annotated[str, typer.Option("--org", envvar=ORG_VARIABLE, help=_ORG_HELP, callback=validate_org_id)]
AllOrgsOption = Annotated[str | None, build_org_option("all organisations")]
UserOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        is_eager=True,
        help="Development stack only: email address of the user to act as. Default: the organisation's coordinator.",
    ),
]
_DATE_FORMS = "2026-12-31 or 31.12.2026"


def normalise_time(text: str | None) -> str | None:
    """Return a Norwegian date as an ISO date; the API checks dates and times in the form of ISO 8601."""
    parts = re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text or "", re.ASCII)
    if parts is None:
        if text is not None and re.match(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
            raise typer.BadParameter(f"{text!r} is not a date such as {_DATE_FORMS}")
        return text
    day, month, year = map(int, parts.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text} is not a day of the calendar") from None


def normalise_instant(text: str | None) -> str | None:
    """Return a date in either form as its first instant in Europe/Oslo; the API checks every other form."""
    day = normalise_time(text)
    if day is None or re.fullmatch(r"\d{4}-\d\d-\d\d", day, re.ASCII) is None:
        return day
    try:
        return to_first_instant(date.fromisoformat(day)).isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text} is not a day of the calendar") from None


def normalise_start(text: str | None) -> str | None:
    """Return the time of an activity with its offset; a time without one is in Oslo."""
    start = add_oslo_offset(text.strip()) if text else text
    if (
        start is not None
        and re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*([Zz]|[+-]\d\d:?\d\d)$", start, re.ASCII) is None
    ):
        raise typer.BadParameter(f"{text!r} is not a time such as 31.01.2026 10:00")
    return start


_TIME_HELP = f"of the period ({_DATE_FORMS}), or an RFC 3339 time."
PeriodStartOption = Annotated[
    str, typer.Option("--start", "--from", help=f"First day {_TIME_HELP}", callback=normalise_time)
]
PeriodEndOption = Annotated[
    str, typer.Option("--end", "--to", help=f"Last day (inclusive) {_TIME_HELP}", callback=normalise_time)
]
FormatOption = Annotated[ExportFormat, typer.Option("--format", help="File format.")]
LocaleOption = Annotated[Locale, typer.Option("--locale", help="Language: Bokmål, Nynorsk or English.")]
CsvProfileOption = Annotated[
    CsvProfile, typer.Option("--csv-profile", help="CSV dialect: for Excel with Norwegian settings, or for programs.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not prompt for confirmation.")]
