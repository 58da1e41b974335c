"""The rows of a file of deviations. `test_tables.py` has their table."""

from stafett.cli.csv_files import read_csv_rows

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
