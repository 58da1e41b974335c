"""The tables of the command line at two widths, as files that `python -m tests.support.cli_tables` writes again."""

import io

import pytest
from rich.console import Console

from stafett.cli.formats import format_status
from stafett.cli.tables import Column, print_details, print_table
from tests.support.cli_tables import FOLDER, WIDTHS, render_tables


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
