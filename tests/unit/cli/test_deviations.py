"""The rows of a file of deviations. `test_tables.py` has their table."""

import io

import pytest
from rich.console import Console

from stafett.cli.csv_files import read_csv_rows, replace_rows
from stafett.cli.deviations import describe_selection, print_deviations, select_deviations
from stafett.domain.export_outputs import DeviationOutcome

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


def test_rows_are_selected_by_kind_and_by_a_part_of_the_mentors_name() -> None:
    rejected, not_countable = rows = read_csv_rows(_CONTENT)
    assert select_deviations(rows, DeviationOutcome.REJECTED, None) == [rejected]
    assert select_deviations(rows, None, "kari") == [not_countable]
    assert select_deviations(rows, DeviationOutcome.REJECTED, "kari") == []
    assert select_deviations(rows, None, None) == rows


def test_warnings_include_those_of_rows_with_another_outcome() -> None:
    rows = [row | {"codes": f"{row['codes']} note_missing"} for row in read_csv_rows(_CONTENT)]
    assert select_deviations(rows, DeviationOutcome.WARNING, None) == []
    assert select_deviations(rows, DeviationOutcome.WARNING, None, {"note_missing"}) == rows
    assert select_deviations(rows, DeviationOutcome.REJECTED, None, {"note_missing"}) == rows[:1]


def test_file_of_selected_rows_has_the_form_of_the_whole_file() -> None:
    rows = read_csv_rows(_CONTENT)
    assert replace_rows(_CONTENT, rows) == _CONTENT
    assert replace_rows(_CONTENT, rows[1:]) == "\r\n".join(("\ufeff" + _HEADER, _ROWS[1], "")).encode()
    machine = "\n".join((_HEADER.replace(";", ","), '06.01.2026,"Åse, Kari"' + "," * 9, "")).encode()
    assert replace_rows(machine, read_csv_rows(machine)) == machine


def test_filter_that_matches_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_deviations([], total=7, selection=describe_selection(DeviationOutcome.NOT_COUNTABLE, "Kari"))
    kind, mentor = "of the kind not countable", "of a mentor whose name contains 'Kari'"
    assert capsys.readouterr().out == f"None of the 7 deviations is {kind} and {mentor}.\n"
    assert describe_selection(DeviationOutcome.NOT_COUNTABLE, None) == kind
    assert describe_selection(None, "Kari") == mentor
