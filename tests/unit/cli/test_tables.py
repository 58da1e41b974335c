"""The tables of the command line at two widths, as files that `python -m tests.support.cli_tables` writes again."""

import io
from typing import Any

import pytest
from rich.console import Console

from stafett.cli.formats import format_status
from stafett.cli.tables import Column, print_details, print_table
from tests.support.cli_tables import DIFFERENCES, FOLDER, TABLES, WIDTHS, render_tables


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_equal_the_reviewed_files(width: int) -> None:
    rendered = {f"{name}-{width}": content for name, content in render_tables(width).items()}
    assert rendered == {path.stem: path.read_text("utf-8") for path in FOLDER.glob(f"*-{width}.txt")}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_of_a_table_is_wider_than_the_terminal(width: int) -> None:
    lines = [line for content in render_tables(width).values() for line in content.splitlines()]
    assert max(map(len, lines)) <= width


def test_columns_are_named_that_are_missing_at_this_width(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"id": Column(str), "text": Column(lambda _: "x" * 20, drop_order=1)}
    print_table([1], columns, Console(width=20, file=io.StringIO()))
    assert "Not shown at this width: text" in capsys.readouterr().err


def test_table_without_items_states_that_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([], {"id": Column(str)}, Console(width=20, file=io.StringIO()))
    assert capsys.readouterr().err == "There are no entries.\n"


def test_control_characters_in_a_table_and_in_details_are_escaped() -> None:
    console = Console(width=80, file=(output := io.StringIO()))
    print_table(["\x1b[2J\n[bold]"], {"label": Column(str)}, console)
    print_details("Batch \x1b[2J", [("label", "\x1b[2J\n[bold]")], console)
    assert output.getvalue().count(r"\x1b[2J") == 3
    assert output.getvalue().count(r"\n[bold]") == 2
    assert "\x1b" not in output.getvalue()


def test_status_is_coloured_at_a_terminal_by_its_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(width=80, file=(output := io.StringIO()), force_terminal=True, color_system="standard")
    for status in ("completed", "failed", "cancelled", "mapping_columns"):
        print_details("", [("status", format_status(status))], console)
    assert [f"\x1b[{code}m" in output.getvalue() for code in (32, 31, 33, 36)] == [True] * 4


@pytest.mark.parametrize(
    ("name", "difference"),
    [(name, difference) for name, differences in DIFFERENCES.items() for difference in differences],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_entries_that_differ_in_one_field_look_different_at_80_columns(name: str, difference: dict[str, Any]) -> None:
    columns, (entry, *_) = TABLES[name]
    console = Console(width=80, file=(output := io.StringIO()))
    print_table([entry, entry | difference], columns, console)
    _, first, second = output.getvalue().splitlines()
    assert first != second


def test_ids_are_whole_at_a_width_that_has_room_for_them() -> None:
    ids = ["5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10"]
    columns = {"id": Column(str, is_id=True), "text": Column(lambda _: "x" * 20, drop_order=1)}
    for width, is_whole in ((58, True), (57, False)):
        console = Console(width=width, file=(output := io.StringIO()))
        print_table(ids, columns, console)
        assert (ids[0] in output.getvalue()) == is_whole
        assert "x" * 20 in output.getvalue()


def test_shortened_ids_have_as_many_characters_as_distinguish_them() -> None:
    ids = ["5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10", "5e4d7a34-95b4-4a3c-9f55-6f4a4b8f3a10"]
    columns = {"id": Column(str, is_id=True), "text": Column(lambda _: "x" * 20, drop_order=1)}
    for entries, expected in ((ids, ["5e4d7a34-95a", "5e4d7a34-95b"]), (ids[:1], ["5e4d7a34"])):
        console = Console(width=40, file=(output := io.StringIO()))
        print_table(entries, columns, console)
        assert [line.split()[0] for line in output.getvalue().splitlines()[1:]] == expected


def test_columns_that_are_the_same_for_all_entries_are_dropped_first(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {
        "id": Column(str),
        "created": Column(lambda entry: f"{entry} o'clock", drop_order=1),
        "organisation": Column(lambda _: "nhf", drop_order=2),
    }
    console = Console(width=20, file=(output := io.StringIO()))
    print_table([1, 2], columns, console)
    assert "1 o'clock" in output.getvalue()
    assert "Not shown at this width: organisation (all nhf)." in capsys.readouterr().err


def test_cells_that_differ_at_their_end_only_are_cut_in_the_middle() -> None:
    console = Console(width=20, file=(output := io.StringIO()))
    urls = ["https://archive.nhf.example/a", "https://archive.nhf.example/b", "https://nhf.example"]
    print_table(urls, {"url": Column(str, min_width=10)}, console)
    assert output.getvalue().splitlines()[1:] == [
        "https://ar…example/a",
        "https://ar…example/b",
        "https://nhf.example",
    ]
