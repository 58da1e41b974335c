"""Texts of other users cannot control the terminal of the user who reads them."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.cli.terminal import make_console, make_progress_bar, make_table, print_file, print_json, print_lines

HOSTILE = "\x1b[2J\x1b]0;title\x07a\rb\nc\x9b31m\x7f\u202ed\u2028\ud800 [bold]\u00e6[/nothing]"
ESCAPED = r"\x1b[2J\x1b]0;title\x07a\rb\nc\x9b31m\x7f\u202ed\u2028\ud800 [bold]æ[/nothing]"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_control_characters_of_a_line_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines("Batch 1", f"  nhf, {HOSTILE}")
    assert capsys.readouterr().out == f"Batch 1\n  nhf, {ESCAPED}\n"


def test_control_characters_of_a_table_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    table = make_table("id", HOSTILE)
    table.add_row("1", HOSTILE)
    make_console().print(table)
    heading, row = capsys.readouterr().out.splitlines()
    assert (heading.split(maxsplit=1)[1].rstrip(), row.split(maxsplit=1)[1].rstrip()) == (ESCAPED, ESCAPED)


def test_control_characters_of_a_message_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    make_console(stderr=True).print(HOSTILE)
    assert capsys.readouterr().err == f"{ESCAPED}\n"


def test_control_characters_of_a_progress_bar_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    with make_progress_bar("{task.description}") as progress:
        progress.add_task(HOSTILE)
    assert ESCAPED in terminal.getvalue()
    assert "\x1b]0;title" not in terminal.getvalue()


@given(st.text(st.characters(exclude_categories=())))
def test_json_of_any_text_is_valid_and_has_no_control_character(text: str) -> None:
    output = io.StringIO()
    stdout, sys.stdout = sys.stdout, output
    try:
        print_json({text: [text]}, indent=2)
    finally:
        sys.stdout = stdout
    assert json.loads(output.getvalue()) == {text: [text]}
    assert all(character.isprintable() or ord(character) > 0x9F or character == "\n" for character in output.getvalue())


def test_file_is_unchanged_in_a_pipe_and_escaped_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "client_ref;note\r\n1;\x1b[2J\r\n"
    print_file(content)
    assert capsys.readouterr().out == content
    monkeypatch.setattr(sys, "stdout", terminal := _Terminal())
    print_file(content)
    assert terminal.getvalue() == "client_ref;note\r\n1;\\x1b[2J\r\n"
