"""The rows of a file of deviations. `test_tables.py` has their table."""

import io

import pytest
from rich.console import Console

from stafett.cli.csv_files import read_csv_rows
from stafett.cli.deviations import print_deviations

_HEADER = "date;mentor;place;sheet;row;outcome;problem;repair;registered_by;activity_id;codes"
_ROWS = (
    (
        "06.01.2026;Åse Ødegård;Tromsø;;;rejected;Et likepersonskurs må ha deltakere.;Før antall deltakere.;;"
        "00000000-0000-4000-8000-000000000001;course_without_participants"
    ),
    (
        "07.01.2026;Kari Nordmann;København;Rapport;14;not_countable;Holdt utenfor Norge;Rett aktiviteten.;;"
        "00000000-0000-4000-8000-000000000002;abroad"
    ),
)
_CONTENT = "\r\n".join(("\ufeff" + _HEADER, *_ROWS, "")).encode()


def test_both_csv_profiles_give_the_same_rows() -> None:
    machine = "\n".join(_HEADER.replace(";", ",").splitlines() + [row.replace(";", ",") for row in _ROWS]).encode()
    assert read_csv_rows(machine) == read_csv_rows(_CONTENT)


@pytest.mark.parametrize(
    ("count", "limit", "lines_of_rows", "rest"),
    [
        (20, 20, 20, []),
        (21, 20, 20, ["1 more: --all prints them, --output FILE writes them as CSV."]),
        (21, None, 21, []),
    ],
)
def test_kinds_are_printed_first_and_then_rows_up_to_the_limit(
    count: int, limit: int | None, lines_of_rows: int, rest: list[str]
) -> None:
    rows = read_csv_rows(_CONTENT)[:1] * count
    console = Console(width=200, file=(output := io.StringIO()))
    print_deviations(rows, console, limit=limit)
    kind, repair, empty, header, *lines, correction, new_version = output.getvalue().splitlines()
    assert (kind, repair.strip(), empty) == (f"{count} rejected: {rows[0]['problem']}", rows[0]["repair"], "")
    assert header.startswith("date ")
    assert [line.split()[0] for line in lines[:lines_of_rows]] == ["06.01.2026"] * lines_of_rows
    assert lines[lines_of_rows:] == rest
    assert "stafett activity correct" in correction
    assert "stafett reexport start" in new_version
