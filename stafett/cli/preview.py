"""``stafett export preview``: the counts and the first rows of an export, one value per line as in its file."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from stafett.cli.client import Json, connect
from stafett.cli.export import describe_counts
from stafett.cli.field_errors import EXPORT_OPTIONS, name_options
from stafett.cli.options import (
    CsvProfileOption,
    DataDirOption,
    FormatOption,
    JsonOption,
    LocaleOption,
    OrgOption,
    PeriodEndOption,
    PeriodStartOption,
    UserOption,
    read_input,
)
from stafett.cli.tables import print_details
from stafett.cli.terminal import make_console, print_json, print_lines
from stafett.domain.errors import StafettError
from stafett.domain.export import ExportFormat

_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_PREVIEW_TIMEOUT_SECONDS = 60
_MAX_LINES_OF_ROWS = 20


def preview(
    period_start: PeriodStartOption,
    period_end: PeriodEndOption,
    org: OrgOption = "",
    export_format: FormatOption = ExportFormat.CSV,
    locale: LocaleOption = "nb",
    csv_profile: CsvProfileOption = "excel",
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--mapping", metavar="FILE", help="Mapping document to try, which is not published (admins only)."
        ),
    ] = None,
    data_dir: DataDirOption = None,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Print all rows of the preview, not only {_MAX_LINES_OF_ROWS} lines.")
    ] = False,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Preview an export: counts, the reasons why rows are not countable, and the first rows.

    The rows are printed with one value per line, and only the first of them.
    """
    body: Json = {
        "org_id": org,
        "reporting_period": {"start": period_start, "end": period_end},
        "export_format": export_format,
        "locale": locale,
        "csv_profile": csv_profile,
    }
    if mapping is not None:
        body["mapping"] = _read_mapping(mapping)
        user = user or f"admin@{org}.example"
    api = connect(data_dir, user, org)
    with make_console(stderr=True).status("Reading and mapping the period"), name_options(EXPORT_OPTIONS):
        result = api.post("/bufdir-exports/preview", body, timeout=_PREVIEW_TIMEOUT_SECONDS)
    if as_json:
        print_json(result)
        return
    applied = str(mapping) if mapping else f"version {result['mapping']['version']}"
    print_details(f"Preview of {org}", [("mapping", applied), *describe_counts(result)])
    rows = result["rows"]
    shown = len(rows) if show_all else max(1, _MAX_LINES_OF_ROWS // (len(result["columns"]) + 1))
    for number, row in enumerate(rows[:shown], start=1):
        cells = [(name, _format_cell(row.get(name), csv_profile)) for name in result["columns"]]
        print_details(f"Row {number}", cells)
    if len(rows) > shown:
        print_lines(f"{len(rows) - shown} more rows: --all prints them, --json has them for programs.")


def _read_mapping(file: Path) -> Json:
    try:
        document = json.loads(read_input(file))
    except ValueError:
        raise StafettError(f"{file} is not valid JSON.") from None
    if not isinstance(document, dict):
        raise StafettError(f"{file} does not contain a JSON object.")
    return document


def _format_cell(value: object, csv_profile: str) -> str:
    """Format a value as the file has it: with Norwegian days and decimals, unless it is for programs."""
    if value is None:
        return ""
    if csv_profile == "machine":
        return str(value)
    if isinstance(value, float):
        return f"{value:g}".replace(".", ",")
    if isinstance(value, str) and (day := _DAY.fullmatch(value)):
        return f"{day[3]}.{day[2]}.{day[1]}"
    return str(value)
