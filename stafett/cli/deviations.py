"""The table of an export's deviations: one line each, and below it how to correct each kind of problem."""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter

from rich.console import Console

from stafett.cli.formats import format_words
from stafett.cli.tables import Column, Columns, print_table
from stafett.cli.terminal import make_console, print_lines

_COLUMNS: Columns = {
    "date": Column(itemgetter("date")),
    "row": Column(itemgetter("row")),
    "outcome": Column(lambda row: format_words(row["outcome"])),
    "mentor": Column(itemgetter("mentor"), min_width=12),
    "place": Column(itemgetter("place"), drop_order=3),
    "problem": Column(itemgetter("problem"), min_width=30),
    "sheet": Column(itemgetter("sheet"), drop_order=2),
    "activity_id": Column(itemgetter("activity_id"), drop_order=1),
}


def print_deviations(rows: Sequence[dict[str, str]], console: Console | None = None) -> None:
    """Print one line per row, and below them how to correct each kind of problem."""
    if not rows:
        print_lines("No deviations.")
        return
    console = console or make_console()
    print_table(rows, _COLUMNS, console)
    for line in _describe_problems(rows):
        console.print(line, soft_wrap=True)


def _describe_problems(rows: Iterable[dict[str, str]]) -> list[str]:
    counts = Counter((row["outcome"], row["problem"], row["repair"]) for row in rows)
    lines = [""]
    for (outcome, problem, repair), count in counts.most_common():
        lines += [f"{count} {format_words(outcome)}: {problem}", f"    {repair}"]
    return lines
