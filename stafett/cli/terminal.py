"""Output of every command: texts with escaped control characters, JSON, progress bars, and tables never truncated.

Commands print through these functions only (the linter rejects ``typer.echo``), so that no text of the API, which may
be another user's, controls the terminal.
"""

import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

from stafett.cli.escaping import escape_file, escape_json, escape_line
from stafett.domain.errors import StafettError

_UNLIMITED_WIDTH = 1000


class _EscapingConsole(Console):
    """A console that prints strings as they are: without markup, and with escaped control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escape_line(text), **{**options, "markup": False, "emoji": False})


def make_console(*, stderr: bool = False) -> Console:
    """Create a console on standard output, or on standard error for messages. Lines to a pipe are not wrapped."""
    console = _EscapingConsole(stderr=stderr)
    return console if console.is_terminal else _EscapingConsole(stderr=stderr, width=_UNLIMITED_WIDTH)


def print_lines(*lines: str, err: bool = False) -> None:
    """Print each text as one line."""
    typer.echo("\n".join(map(escape_line, lines)), err=err)  # noqa: TID251 - this is the place


def print_json(value: object, *, indent: int | None = None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    typer.echo(escape_json(text))  # noqa: TID251 - this is the place


def print_file(text: str) -> None:
    """Print the content of a file: unchanged to a pipe or a file, and escaped to a terminal."""
    sys.stdout.write(escape_file(text) if sys.stdout.isatty() else text)


def make_progress_bar(*columns: ProgressColumn | str, quiet: bool = False) -> Progress:
    """Create a progress bar that is erased at its end, and is disabled where standard error is no terminal."""
    console = make_console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def require_confirmation(question: str) -> None:
    """Prompt for confirmation on standard error; no answer counts as a refusal."""
    try:
        typer.confirm(escape_line(question), abort=True, err=True)
    except typer.Abort:
        raise StafettError("Not confirmed; nothing was changed.") from None


def make_table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading == "id", overflow="fold", min_width=36 if heading == "id" else None)
    return table
