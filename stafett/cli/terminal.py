"""Output for people: progress bars on terminals only, and tables that are never truncated."""

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table

from stafett.domain.errors import StafettError

_UNLIMITED_WIDTH = 1000


def make_console(*, stderr: bool = False) -> Console:
    """Create a console on standard output, or on standard error for messages. Lines to a pipe are not wrapped."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_UNLIMITED_WIDTH)


def make_progress_bar(*columns: ProgressColumn | str, quiet: bool = False) -> Progress:
    """Create a progress bar that is erased at its end, and is disabled where standard error is no terminal."""
    console = make_console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def require_confirmation(question: str) -> None:
    """Prompt for confirmation on standard error; no answer counts as a refusal."""
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort:
        raise StafettError("Not confirmed; nothing was changed.") from None


def make_table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading == "id", overflow="fold", min_width=36 if heading == "id" else None)
    return table
