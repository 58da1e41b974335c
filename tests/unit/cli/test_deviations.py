"""The table of deviations at two widths, as a user sees it."""

import io

import pytest
from rich.console import Console

from stafett.cli.deviations import print_deviations, read_deviations

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
_PROBLEMS = """
1 rejected: Et likepersonskurs må ha deltakere.
    Før antall deltakere.
1 not_countable: Holdt utenfor Norge
    Rett aktiviteten.
"""
_NARROW = """\
date       row outcome       mentor        problem
06.01.2026     rejected      Åse Ødegård   Et likepersonskurs må ha deltakere.
07.01.2026 14  not_countable Kari Nordmann Holdt utenfor Norge
"""
_WIDE = """\
date       row outcome       mentor        place     problem                             sheet
06.01.2026     rejected      Åse Ødegård   Tromsø    Et likepersonskurs må ha deltakere.
07.01.2026 14  not_countable Kari Nordmann København Holdt utenfor Norge                 Rapport
"""


def render(width: int, content: bytes = _CONTENT) -> str:
    console = Console(width=width, file=io.StringIO())
    print_deviations(read_deviations(content), console)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


@pytest.mark.parametrize(("width", "table"), [(80, _NARROW), (120, _WIDE)])
def test_table_fits_the_terminal_without_wrapped_cells(width: int, table: str) -> None:
    assert render(width) == table + _PROBLEMS


def test_both_csv_profiles_give_the_same_rows() -> None:
    machine = "\n".join(_HEADER.replace(";", ",").splitlines() + [row.replace(";", ",") for row in _ROWS]).encode()
    assert read_deviations(machine) == read_deviations(_CONTENT)
