"""What people see: bars on a terminal, plain lines everywhere else, and tables that cut nothing off."""

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table

from stafett.domain.errors import StafettError

_UNLIMITED_WIDTH = 1000


def make_console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error for what is not the answer; a pipe has no edge to wrap at."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_UNLIMITED_WIDTH)


def make_progress_bar(*columns: ProgressColumn | str, quiet: bool = False) -> Progress:
    """A progress bar that leaves nothing behind, and is not there at all where nobody would see it move."""
    console = make_console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def require_confirmation(question: str) -> None:
    """Ask, on standard error; whoever does not answer has not said yes."""
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort:
        raise StafettError("Not confirmed; nothing was changed.") from None


def make_table(*headings: str) -> Table:
    shown = Table(box=None, pad_edge=False)
    for heading in headings:
        shown.add_column(heading, no_wrap=heading == "id", overflow="fold", min_width=36 if heading == "id" else None)
    return shown
